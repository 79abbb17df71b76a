"""Containers' files from outside: copies in both directions, exports, what was changed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from corten.engine import states
from corten.engine.library import Library
from corten.engine.parts import Parts
from corten.engine.specgen.mounts import bound_device
from corten.engine.types import Container, Image, MountRequest, Tenant
from corten.errors import FailedPrecondition, NotFound, Unavailable
from corten.images.documents import committed
from corten.images.host import view as hostview
from corten.images.trees.service import (
    Bind,
    FileChange,
    PathStat,
    Running,
    Stopped,
    Transfer,
    Where,
)


class Copier:
    """The methods of the engine about containers' files."""

    def __init__(self, parts: Parts, library: Library) -> None:
        self._parts = parts
        self._library = library

    # paths -----------------------------------------------------------------------------

    async def stat(self, tenant: Tenant, ref: str, path: str) -> PathStat:
        """See ``contract.Engine.stat_path``."""
        record = self._parts.view.container(tenant, ref)
        return await self._parts.images.trees.stat(self._where(record), path)

    async def read(self, tenant: Tenant, ref: str, path: str) -> Transfer[None]:
        """See ``contract.Engine.copy_out``."""
        record = self._parts.view.container(tenant, ref)
        transfer = await self._parts.images.trees.read(self._where(record), path)
        await self._tell(record, "archive-path")
        return transfer

    async def export(self, tenant: Tenant, ref: str) -> Transfer[None]:
        """See ``contract.Engine.export_container``."""
        record = self._parts.view.container(tenant, ref)
        transfer = await self._parts.images.trees.export(self._where(record))
        await self._tell(record, "export")
        return transfer

    async def write(
        self, tenant: Tenant, ref: str, path: str, *, keep_kinds: bool, keep_owner: bool
    ) -> Transfer[None]:
        """See ``contract.Engine.copy_in``. Nobody starts the container while its own layer is
        mounted here."""
        parts = self._parts
        record = parts.view.container(tenant, ref)
        async with AsyncExitStack() as held:
            if not states.is_running(record):
                await held.enter_async_context(parts.locks.hold(("container", record.id)))
                record = parts.view.container(tenant, record.id)
            if record.config.security.readonly_rootfs and not _in_mount(record, path):
                raise FailedPrecondition("container rootfs is marked read-only")
            owner = record.config.user if keep_owner else ""
            transfer = await parts.images.trees.write(
                self._where(record), path, keep_kinds=keep_kinds, owner=owner
            )
            transfer.hold(held.pop_all())
        await self._tell(record, "extract-to-dir")
        return transfer

    def _where(self, record: Container) -> Where:
        if states.is_running(record):
            return Running(pid=record.state.pid, id=record.id)
        binds = [bind for mount in record.config.mounts if (bind := self._bind(record, mount))]
        if record.image_id == hostview.ID:
            own = [
                Bind(source=one.source, target=f"/{one.target}", read_only=True)
                for one in hostview.mounts()
            ]
            binds = own + binds
        return Stopped(key=record.id, binds=tuple(sorted(binds, key=_depth)))

    def _bind(self, record: Container, mount: MountRequest) -> Bind | None:
        """What a mount puts into the container; None for what is gone with its processes."""
        source = mount.source
        if mount.type == "volume":
            volume = self._parts.view.volumes.get((record.tenant, mount.source))
            if volume is None or (volume.options and not bound_device(volume)):
                return None
            source = bound_device(volume) or volume.path
        elif mount.type != "bind":
            return None
        return Bind(
            source=source,
            target=mount.target,
            read_only=mount.read_only,
            subpath=mount.subpath,
        )

    async def _tell(self, record: Container, action: str) -> None:
        await self._parts.door.commit(lambda tx: tx.container_event(record, action))

    # what was changed ------------------------------------------------------------------

    async def changes(self, tenant: Tenant, ref: str) -> Sequence[FileChange]:
        """See ``contract.Engine.container_changes``."""
        record = self._parts.view.container(tenant, ref)
        return await self._parts.images.trees.changes(record.id, self._chain(record))

    def _chain(self, record: Container) -> str:
        """The layer that a container stands on, also when its image has lost all names."""
        if record.image_id == hostview.ID:
            return ""
        return self._parts.snapshots.parent(record.id)

    async def commit(
        self,
        tenant: Tenant,
        ref: str,
        *,
        name: str,
        author: str,
        comment: str,
        changes: Sequence[str],
        config: dict[str, object] | None,
        pause: bool,
    ) -> Image:
        """See ``contract.Engine.commit_container``."""
        parts = self._parts
        record = parts.view.container(tenant, ref)
        if record.image_id == hostview.ID:
            raise hostview.refuse("committed")
        try:
            base = self._library.find(tenant, record.image_id)
        except NotFound:
            raise FailedPrecondition(
                "the container's image was removed: there is nothing to put its changes on",
                hint="export the container and import it: corten export, corten import",
            ) from None
        run = as_image_config(record) | (config or {})
        document = committed(
            base.config,
            run,
            changes,
            author=author,
            comment=comment,
            created_by=" ".join(record.config.cmd or ()),
            now=int(time.time()),
        )
        paused = pause and record.state.status == "running" and await self._pause(record)
        try:
            made = await parts.images.commit(
                tenant, base.id, record.id, self._chain(record), document, name
            )
        finally:
            if paused:
                await self._unpause(record)
        await self._tell(record, "commit")
        return self._library.get(tenant, made.id)

    async def _pause(self, record: Container) -> bool:
        """Whether it is: one that has ended meanwhile changes nothing any more."""
        try:
            await self._parts.freeze(record.tenant, record.id, True)
        except (FailedPrecondition, NotFound, Unavailable):
            return False
        return True

    async def _unpause(self, record: Container) -> None:
        try:
            await self._parts.freeze(record.tenant, record.id, False)
        except (FailedPrecondition, NotFound, Unavailable):
            return  # it has ended meanwhile


def as_image_config(record: Container) -> dict[str, object]:
    """A container's configuration in the words of an image's."""
    config = record.config
    found: dict[str, object] = {
        "Env": list(config.env),
        "Cmd": list(config.cmd or ()) or None,
        "Entrypoint": list(config.entrypoint or ()) or None,
        "WorkingDir": config.working_dir,
        "User": config.user,
        "Labels": dict(config.labels) or None,
        "ExposedPorts": {port: {} for port in config.exposed_ports} or None,
        "StopSignal": config.stop_signal,
    }
    return {key: value for key, value in found.items() if value}


def _in_mount(record: Container, path: str) -> bool:
    """Whether a path lies in something that is mounted (which has a say of its own)."""
    whole = "/" + path.strip("/") + "/"
    return any(whole.startswith(f"{mount.target.rstrip('/')}/") for mount in record.config.mounts)


def _depth(bind: Bind) -> int:
    return bind.target.rstrip("/").count("/")
