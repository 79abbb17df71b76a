"""Volumes as containers use them: named in a create, filled, given back with a removal."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from corten.engine import ids
from corten.engine.door import Tx
from corten.engine.parts import Parts
from corten.engine.types import Container, ContainerConfig, MountRequest, Tenant, Volume
from corten.engine.volumes import files, merging
from corten.engine.volumes.service import Lock, Volumes, begin_removing, lock
from corten.errors import FailedPrecondition, InvalidArgument, NotFound
from corten.launch.messages import Fill
from corten.spec._struct import replace
from corten.spec.mount import Mount

_FILES = 60.0  # seconds


class Using:
    """What creating, starting and removing a container does about volumes."""

    def __init__(self, parts: Parts, volumes: Volumes) -> None:
        self._parts = parts
        self._volumes = volumes

    # creating --------------------------------------------------------------------------

    def resolve(
        self, tenant: Tenant, config: ContainerConfig
    ) -> tuple[ContainerConfig, dict[str, Volume]]:
        """The configuration with all its mounts, each volume with a name, and the volumes by
        name, those included that are not there yet.

        Raises:
            NotFound: a container of ``volumes_from``. InvalidArgument: mounts that can't be.
        """
        others = []
        for text in config.volumes_from:
            ref, read_only = merging.source_of(text)
            others.append((self._parts.view.container(tenant, ref), read_only))
        found: dict[str, Volume] = {}
        mounts = []
        for mount in merging.mounts(config, others):
            if mount.type == "volume":
                mount = self._named(tenant, mount, found)
            mounts.append(mount)
        return msgspec.structs.replace(config, mounts=tuple(mounts)), found

    def _named(self, tenant: Tenant, mount: MountRequest, found: dict[str, Volume]) -> MountRequest:
        if not mount.source:
            mount = msgspec.structs.replace(mount, source=ids.new_id())
        name = mount.source
        there = found.get(name) or self._parts.view.volumes.get((tenant, name))
        if there is None:
            there = self._volumes.record(
                tenant,
                name,
                driver=mount.driver,
                options=mount.driver_options,
                labels=mount.labels,
                anonymous=mount.anonymous,
            )
        found[name] = there
        return mount

    @staticmethod
    def locks(volumes: dict[str, Volume]) -> list[Lock]:
        """What to hold until the container is made; nobody else knows an anonymous one."""
        return [lock(one.tenant, one.name) for one in volumes.values() if not one.anonymous]

    def reserve(self, tx: Tx, record: Container, volumes: dict[str, Volume]) -> list[str]:
        """In the transaction that writes a container's record: it uses them from now on.

        Returns: the names of those that did not exist; they are seen once it is ready.
        """
        new = []
        for one in volumes.values():
            there = tx.volume(one.tenant, one.name)
            if there is None:
                tx.put_volume(one, ready=False)
                new.append(one.name)
            elif not there[1]:
                raise FailedPrecondition(f"volume {one.name} is being removed")
            tx.use_volume(one, record.id)
        return new

    def made(self, tx: Tx, record: Container, new: Sequence[str]) -> None:
        """In the transaction that makes a container ready."""
        for name in new:
            found = tx.volume(record.tenant, name)
            if found is not None and not found[1]:
                tx.put_volume(found[0])
                tx.volume_event(found[0], "create")

    async def undo(self, record: Container, new: Sequence[str]) -> None:
        """Remove the directories of volumes that a create has made; the rows go with it."""
        for name in new:
            directory = self._parts.settings.volume_dir(record.tenant, name)
            await self._parts.files.run(files.remove, directory, deadline=_FILES)

    @staticmethod
    def undone(tx: Tx, record: Container, new: Sequence[str]) -> None:
        """In the transaction that drops the container, after it."""
        for name in new:
            found = tx.volume(record.tenant, name)
            if found is not None:
                tx.drop_volume(found[0])

    # filling ---------------------------------------------------------------------------

    async def fill(self, record: Container, volumes: dict[str, Volume]) -> None:
        """Give each empty volume what the image has where it is mounted.

        Raises:
            InvalidArgument: a volume would lie over a file.
        """
        run, wanted = self._parts.files.run, []
        for mount in record.config.mounts:
            volume = volumes.get(mount.source) if mount.type == "volume" else None
            if volume is None or volume.options:
                continue
            directory = self._parts.settings.volume_dir(volume.tenant, volume.name)
            if mount.no_copy or mount.subpath:
                await run(files.make, directory, deadline=_FILES)
                continue
            staging = await run(files.begin_filling, directory, deadline=_FILES)
            if staging:
                wanted.append((mount.target, staging, directory))
        if not wanted:
            return
        try:
            await self._copy(record, wanted)
        finally:
            for _target, _staging, directory in wanted:
                await run(files.drop_filling, directory, deadline=_FILES)

    async def _copy(self, record: Container, wanted: list[tuple[str, str, str]]) -> None:
        mounts = self._parts.snapshots.mounts(record.id)
        outcomes = await self._parts.launcher.fill(
            Fill(
                rootfs=self._parts.settings.rootfs_dir,
                rootfs_mounts=tuple(m.to_dict() for m in for_reading(mounts)),
                volumes=tuple((target, staging) for target, staging, _ in wanted),
            )
        )
        for outcome, (target, _staging, directory) in zip(outcomes, wanted, strict=True):
            if outcome == "file":
                raise InvalidArgument(
                    f"cannot mount volume over existing file, file exists {target}"
                )
            if outcome == "copied":
                await self._parts.files.run(files.filled, directory, deadline=_FILES)

    # starting --------------------------------------------------------------------------

    def of(self, record: Container) -> dict[str, Volume]:
        """The volumes that a container uses, by name.

        Raises:
            NotFound: one is gone.
        """
        found = {}
        for mount in record.config.mounts:
            if mount.type == "volume":
                volume = self._parts.view.volumes.get((record.tenant, mount.source))
                if volume is None:
                    raise NotFound(f"get {mount.source}: no such volume")
                found[mount.source] = volume
        return found

    # removing --------------------------------------------------------------------------

    @staticmethod
    def give_back(tx: Tx, record: Container) -> list[Volume]:
        """In the transaction that drops a container, after it: its anonymous volumes that nobody
        else uses are going to be removed. Returns them."""
        doomed = []
        for mount in record.config.mounts:
            if mount.type != "volume" or not mount.anonymous:
                continue
            found = tx.volume(record.tenant, mount.source)
            if found is not None and found[1] and not tx.volume_users(found[0]):
                begin_removing(tx, found[0])
                doomed.append(found[0])
        return doomed

    async def remove(self, doomed: Sequence[Volume]) -> None:
        """What :meth:`give_back` has begun."""
        for volume in doomed:
            await self._volumes.finish_removing(volume)


def tell(tx: Tx, record: Container, action: str) -> None:
    """The events ``mount`` and ``unmount`` of a container's volumes."""
    for mount in record.config.mounts:
        if mount.type != "volume":
            continue
        attributes = {"container": record.id, "driver": "local"}
        if action == "mount":
            attributes |= {
                "destination": mount.target,
                "propagation": mount.propagation,
                "read/write": "false" if mount.read_only else "true",
            }
        tx.event("volume", action, mount.source, record.tenant, **attributes)


def for_reading(mounts: Sequence[Mount]) -> list[Mount]:
    """The same root file system without its writable layer: that becomes the topmost of the
    layers below, so that nothing is written and no disk is synced at the end."""
    return [
        replace(one, options=_lower(one.options)) if one.type == "overlay" else one
        for one in mounts
    ]


def _lower(options: Sequence[str]) -> tuple[str, ...]:
    uppers = [o.removeprefix("upperdir=") for o in options if o.startswith("upperdir=")]
    kept = []
    for option in options:
        if option.startswith("lowerdir=") and uppers:
            option = f"lowerdir={uppers[0]}:{option.removeprefix('lowerdir=')}"
        if not option.startswith(("upperdir=", "workdir=", "volatile")):
            kept.append(option)
    return tuple(kept)
