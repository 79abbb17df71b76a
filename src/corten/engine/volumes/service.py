"""Volumes by themselves: making, listing, removing. Containers' part is in ``using``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from corten.engine import ids
from corten.engine.boot import wall_ns
from corten.engine.door import Tx
from corten.engine.parts import Parts
from corten.engine.tables import Intent
from corten.engine.types import Tenant, Volume
from corten.engine.volumes import files, names, tables
from corten.errors import CortenError, FailedPrecondition, NotFound

_FILES = 60.0  # seconds for directories, on a disk that is under load
_DELETE = 600.0  # seconds: a volume may have millions of files

Lock = tuple[str, str]


def lock(tenant: str, name: str) -> Lock:
    """What holds two who make, fill or remove the same volume apart."""
    return ("volume", f"{tenant}/{name}")


class Volumes:
    """The volume methods of the engine."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # look-ups --------------------------------------------------------------------------

    def get(self, tenant: Tenant, name: str) -> Volume:
        """See ``contract.Engine.get_volume``."""
        found = self._parts.view.volumes.get((tenant, name))
        if found is None:
            raise NotFound(f"get {name}: no such volume")
        return self._with_users([found])[0]

    def all(self, tenant: Tenant) -> list[Volume]:
        """See ``contract.Engine.list_volumes``."""
        mine = [one for one in self._parts.view.volumes.values() if one.tenant == tenant]
        return sorted(self._with_users(mine), key=lambda one: one.name)

    def _with_users(self, found: list[Volume]) -> list[Volume]:
        users: dict[tuple[str, str], list[str]] = {}
        for record in self._parts.view.containers.values():
            for mount in record.config.mounts:
                if mount.type == "volume":
                    users.setdefault((record.tenant, mount.source), []).append(record.id)
        return [
            msgspec.structs.replace(
                one, used_by=tuple(dict.fromkeys(users.get((one.tenant, one.name), ())))
            )
            for one in found
        ]

    # making ----------------------------------------------------------------------------

    async def create(
        self,
        tenant: Tenant,
        name: str,
        *,
        driver: str,
        options: Mapping[str, str] | None,
        labels: Mapping[str, str] | None,
    ) -> Volume:
        """See ``contract.Engine.create_volume``."""
        anonymous = not name
        wanted = self.record(
            tenant, name or ids.new_id(), driver=driver, options=options, labels=labels,
            anonymous=anonymous,
        )  # fmt: skip
        return await self._parts.operations.run(
            ("create-volume", tenant, wanted.name, ids.new_id()), lambda: self._create(wanted)
        )

    def record(
        self,
        tenant: Tenant,
        name: str,
        *,
        driver: str = "",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        anonymous: bool = False,
    ) -> Volume:
        """What a new volume's record says.

        Raises:
            InvalidArgument, NotFound: what can't be.
        """
        names.check_driver(driver)
        names.check(name)
        names.check_options(name, options or {})
        return Volume(
            name=name,
            tenant=tenant,
            created_at=wall_ns(),
            path=f"{self._parts.settings.volume_dir(tenant, name)}/{files.DATA}",
            options=None if options is None else dict(options),
            labels=None if labels is None else dict(labels),
            anonymous=anonymous,
        )

    async def _create(self, wanted: Volume) -> Volume:
        parts = self._parts
        async with parts.locks.hold(lock(wanted.tenant, wanted.name)):
            there = parts.view.volumes.get((wanted.tenant, wanted.name))
            if there is not None:  # as docker answers: it is there, which is what was wanted
                return self._with_users([there])[0]
            intent = await parts.door.commit(lambda tx: begin_making(tx, wanted), durable=True)
            try:
                return await self._make(wanted, intent)
            except CortenError:
                what = f"undo of volume {wanted.name}"
                await parts.operations.insist(lambda: self._drop(wanted, told=False), what)
                raise

    async def _make(self, wanted: Volume, intent: int) -> Volume:
        directory = self._parts.settings.volume_dir(wanted.tenant, wanted.name)
        await self._parts.files.run(files.make, directory, deadline=_FILES)

        def made(tx: Tx) -> Volume:
            tx.put_volume(wanted)
            tx.volume_event(wanted, "create")
            tx.end(intent)
            return wanted

        return await self._parts.door.commit(made, durable=True)

    # removing --------------------------------------------------------------------------

    async def remove(self, tenant: Tenant, name: str, *, force: bool = False) -> None:
        """See ``contract.Engine.remove_volume``."""
        if (tenant, name) not in self._parts.view.volumes:
            if force:
                return
            raise NotFound(f"get {name}: no such volume")
        await self._parts.operations.run(
            ("remove-volume", tenant, name), lambda: self._remove(tenant, name)
        )

    async def _remove(self, tenant: Tenant, name: str) -> None:
        parts = self._parts
        async with parts.locks.hold(lock(tenant, name)):
            record = parts.view.volumes.get((tenant, name))
            if record is None:
                raise NotFound(f"get {name}: no such volume")
            await parts.door.commit(lambda tx: begin_removing(tx, record), durable=True)
            await self.finish_removing(record)

    async def finish_removing(self, record: Volume) -> None:
        """The rest of a removal whose intent is written; idempotent."""
        await self._drop(record, told=True)

    async def _drop(self, record: Volume, *, told: bool) -> None:
        parts = self._parts
        directory = parts.settings.volume_dir(record.tenant, record.name)
        await parts.files.run(files.remove, directory, deadline=_DELETE)

        def gone(tx: Tx) -> None:
            tx.drop_volume(record)
            if told:
                tx.volume_event(record, "destroy")

        await parts.door.commit(gone, durable=True)

    async def prune(
        self, tenant: Tenant, wanted: Sequence[str] | None = None
    ) -> tuple[list[str], int]:
        """See ``contract.Engine.prune_volumes``."""
        removed, freed = [], 0
        for one in self.all(tenant):
            if one.used_by or (wanted is not None and one.name not in wanted):
                continue
            try:
                size = await self.size(one)
                await self.remove(tenant, one.name)
            except (FailedPrecondition, NotFound):  # somebody took it, or was faster
                continue
            removed.append(one.name)
            freed += size
        return removed, freed

    async def size(self, record: Volume) -> int:
        """Bytes of its files; 0 where they lie elsewhere."""
        if record.options:
            return 0
        return await self._parts.files.run(files.size, record.path, deadline=_DELETE)

    # after a crash ---------------------------------------------------------------------

    async def finish(self, intent: Intent) -> None:
        """Finish what an intent names."""
        found = self._parts.db.read(
            lambda c: tables.get(c, intent.tenant, str(intent.data.get("name", "")))
        )
        if found is None:
            return
        record, _ready = found
        if intent.kind == "create":
            await self._make(record, intent.number)
        else:
            await self.finish_removing(record)


def begin_making(tx: Tx, record: Volume) -> int:
    """The record that nobody sees yet, and the intent."""
    tx.put_volume(record, ready=False)
    return tx.begin("create", "volume", object_id(record), record.tenant, name=record.name)


def begin_removing(tx: Tx, record: Volume) -> int:
    """The intent; the volume is seen no more.

    Raises:
        FailedPrecondition: containers use it.
    """
    users = tx.volume_users(record)
    if users:
        raise FailedPrecondition(f"remove {record.name}: volume is in use - [{', '.join(users)}]")
    tx.put_volume(record, ready=False)
    tx.hide_volume(record)
    return tx.begin("remove", "volume", object_id(record), record.tenant, name=record.name)


def object_id(record: Volume) -> str:
    """What intents know it by."""
    return f"{record.tenant}/{record.name}"
