"""Images as tenants see them: a thin layer over ``images``, with events and uses."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from corten.engine import ids
from corten.engine.contract import ProgressSink
from corten.engine.parts import Parts
from corten.engine.types import Auth, Event, Image, Progress, Tenant
from corten.errors import NotFound
from corten.images import types as images

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
        own = [_image(record, tenant) for record in self._parts.images.list(tenant)]
        if not self._parts.settings.share_images:
            return own
        seen = {image.id for image in own}
        others = self._parts.images.list(_OTHER[tenant])
        return own + [_image(record, tenant) for record in others if record.id not in seen]

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
        credentials = None
        if auth is not None:
            credentials = images.Auth(
                username=auth.username,
                password=auth.password,
                identity_token=auth.identity_token,
                registry_token=auth.registry_token,
            )

        waits = True

        def forward(step: images.Progress) -> None:
            if waits and progress is not None:
                progress(
                    Progress(id=step.id, status=step.status, current=step.current, total=step.total)
                )

        try:
            record = await self._parts.operations.run(
                ("pull", tenant, ref, ids.new_id()),
                lambda: self._parts.images.pull(
                    tenant, ref, platform=platform, auth=credentials, progress=forward
                ),
            )
        finally:
            waits = False
        return _image(record, tenant)

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
            used = await parts.db.query(_image_ids)
            removed = await parts.images.remove(tenant, ref, force=force, in_use=used)
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

    # events ----------------------------------------------------------------------------

    def journal(self, connection: sqlite3.Connection, change: images.Change) -> None:
        """The event of an image's change, in the change's own transaction."""
        tx = self._parts.door.join(connection)
        name = change.name or change.image_id
        tx.event("image", change.action, change.image_id, change.tenant, name=name)


def _image_ids(connection: sqlite3.Connection) -> set[str]:
    """Every image that a container is made from, those that are being made included."""
    return {row[0] for row in connection.execute("SELECT DISTINCT image_id FROM containers")}


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
