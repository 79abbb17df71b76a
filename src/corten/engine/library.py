"""Images as tenants see them: a thin layer over ``images``, with events and uses."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from corten.engine import ids, states
from corten.engine.contract import ProgressSink
from corten.engine.parts import Parts
from corten.engine.types import Auth, Event, HistoryEntry, Image, Progress, Tenant
from corten.errors import FailedPrecondition, NotFound
from corten.images import types as images
from corten.images.host import view as hostview
from corten.images.removal import User
from corten.images.times import from_rfc3339

_OTHER: dict[str, Tenant] = {"docker": "k8s", "k8s": "docker"}


class Library:
    """The image methods of the engine."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # look-ups --------------------------------------------------------------------------

    def find(self, tenant: Tenant, ref: str) -> images.ImageRecord:
        """The tenant's own, or where images are shared the other's. Raises NotFound."""
        try:
            return self._parts.images.get(tenant, ref)
        except NotFound:
            if tenant == "docker" and hostview.is_host(ref):
                return hostview.record(tenant)
            if not self._parts.settings.share_images:
                raise
            try:
                return self._parts.images.get(_OTHER[tenant], ref)
            except NotFound:
                pass
            raise

    def get(self, tenant: Tenant, ref: str) -> Image:
        """See ``contract.Engine.get_image``."""
        return _image(self.find(tenant, ref), tenant)

    def all(self, tenant: Tenant) -> Sequence[Image]:
        """See ``contract.Engine.list_images``."""
        own = self.own(tenant)
        if not self._parts.settings.share_images:
            return own
        seen = {image.id for image in own}
        others = self._parts.images.list(_OTHER[tenant])
        return own + [_image(record, tenant) for record in others if record.id not in seen]

    def own(self, tenant: Tenant) -> list[Image]:
        """A tenant's, without those of the other."""
        return [_image(record, tenant) for record in self._parts.images.list(tenant)]

    def history(self, tenant: Tenant, ref: str) -> Sequence[HistoryEntry]:
        """See ``contract.Engine.image_history``."""
        record = self.find(tenant, ref)
        sizes = list(self._parts.images.layer_sizes(record.chain_id))[::-1]
        found = []
        for step in record.config.get("history") or ():
            size = sizes.pop() if sizes and not step.get("empty_layer") else 0
            found.append(
                HistoryEntry(
                    created=from_rfc3339(str(step.get("created") or "")),
                    created_by=str(step.get("created_by") or ""),
                    comment=str(step.get("comment") or ""),
                    size=size,
                )
            )
        found += [HistoryEntry(size=size) for size in sizes[::-1]]  # layers nobody described
        if found:
            found[-1] = msgspec.structs.replace(found[-1], id=record.id, tags=record.tags)
        return found[::-1]

    # making ----------------------------------------------------------------------------

    async def pull(
        self,
        tenant: Tenant,
        ref: str,
        *,
        platform: str,
        auth: Auth | None,
        progress: ProgressSink | None,
    ) -> Image:
        """See ``contract.Engine.pull_image``. Whoever goes away cancels nothing; the service
        lets a second one join, with progress of its own."""
        waits = True

        def forward(step: Progress) -> None:
            if waits and progress is not None:
                progress(step)

        try:
            record = await self._parts.operations.run(
                ("pull", tenant, ref, ids.new_id()),
                lambda: self._parts.images.pull(
                    tenant,
                    ref,
                    platform=platform,
                    auth=credentials(auth),
                    progress=forwarding(forward),
                ),
            )
        finally:
            waits = False
        return _image(record, tenant)

    async def tag(self, tenant: Tenant, ref: str, name: str) -> Image:
        """See ``contract.Engine.tag_image``."""
        record = self.find(tenant, ref)
        if record.id == hostview.ID:
            raise hostview.refuse("tagged")
        if record.tenant != tenant:
            raise FailedPrecondition(f"{ref} belongs to {record.tenant}: pull it to give it a name")
        return _image(await self._parts.images.tag(tenant, ref, name), tenant)

    def is_host(self, tenant: Tenant, ref: str) -> bool:
        """Whether a name means the view of this machine."""
        try:
            return self.find(tenant, ref).id == hostview.ID
        except NotFound:
            return False

    async def from_host(
        self, tenant: Tenant, tag: str, programs: Sequence[str], cmd: Sequence[str]
    ) -> Image:
        """See ``contract.Engine.image_from_host``."""
        key = ("from-host", tenant, tag, *programs, "\0", *cmd)
        record = await self._parts.operations.run(
            key, lambda: self._parts.images.from_host(tenant, tag, programs, cmd=cmd)
        )
        return _image(record, tenant)

    async def ensure_hello(self, tenant: Tenant) -> Image:
        """See ``contract.Engine.ensure_hello``."""
        record = await self._parts.operations.run(
            ("hello", tenant), lambda: self._parts.images.ensure_hello(tenant)
        )
        return _image(record, tenant)

    # removing --------------------------------------------------------------------------

    async def remove(self, tenant: Tenant, ref: str, *, force: bool) -> list[Event]:
        """See ``contract.Engine.remove_image``."""
        if self.is_host(tenant, ref):
            raise hostview.refuse("removed")
        record = self._parts.images.get(tenant, ref)
        return await self._parts.operations.run(
            ("remove-image", tenant, ref, str(force)),
            lambda: self._remove(tenant, ref, record, force),
        )

    async def _remove(
        self, tenant: Tenant, ref: str, record: images.ImageRecord, force: bool
    ) -> list[Event]:
        parts = self._parts
        # Creates hold this lock until their record names the image.
        async with parts.locks.hold(("image", record.id)):
            users = await parts.db.query(self._users)
            removed = await parts.images.remove(tenant, ref, force=force, users=users)
        return [
            Event(
                seq=0,
                time=0,
                monotonic=0,
                boot_id=parts.boot_id,
                tenant=tenant,
                type="image",
                action=one.action,
                id=one.image_id or one.target,
                attributes={"name": one.target},
            )
            for one in removed
        ]

    def _users(self, connection: sqlite3.Connection) -> dict[str, User]:
        """A container of every image that has one, those that are being made included; one that
        runs, if there is."""
        found: dict[str, User] = {}
        for image_id, container_id in connection.execute("SELECT image_id, id FROM containers"):
            record = self._parts.view.containers.get(container_id)
            running = record is not None and states.is_running(record)
            if running or image_id not in found:
                found[image_id] = User(id=container_id, running=running)
        return found

    # events ----------------------------------------------------------------------------

    def journal(self, connection: sqlite3.Connection, change: images.Change) -> None:
        """The event of an image's change, in the change's own transaction."""
        if change.action == "commit":
            return  # an event of the container
        tx = self._parts.door.join(connection)
        name = change.name or change.image_id
        tx.event("image", change.action, change.image_id, change.tenant, name=name)


def credentials(auth: Auth | None) -> images.Auth | None:
    """As the images' service has them."""
    if auth is None:
        return None
    return images.Auth(
        username=auth.username,
        password=auth.password,
        identity_token=auth.identity_token,
        registry_token=auth.registry_token,
    )


def forwarding(progress: ProgressSink | None) -> images.ProgressSink:
    """A sink for the images' service that tells the face's."""

    def forward(step: images.Progress) -> None:
        if progress is not None:
            progress(
                Progress(id=step.id, status=step.status, current=step.current, total=step.total)
            )

    return forward


def _image(record: images.ImageRecord, tenant: Tenant) -> Image:
    return Image(
        id=record.id,
        tags=record.tags,
        digests=record.digests,
        created_at=record.created_at,
        size=record.size,
        architecture=record.architecture,
        os=record.os,
        variant=record.variant,
        config=record.config,
        layers=record.layers,
        # So that the kubelet's garbage collection never takes a developer's image.
        pinned=record.tenant != tenant,
        tenant=record.tenant,
    )
