"""The one door for change: records, intents and events of one step in one transaction.

After the commit, and in the order of the commits, the view is brought up to date and the
subscribers are told, before anybody's ``await`` returns.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from corten.engine import boot, tables
from corten.engine.types import Container, Endpoint, Event, Exec, Pod, Volume
from corten.engine.view import View
from corten.engine.volumes import tables as volume_tables
from corten.errors import NotFound
from corten.store import Database

T = TypeVar("T")
_PRUNE_EVERY = 512


class Tx:
    """What one transaction does. Runs on the writer thread, so it touches only the rows."""

    def __init__(self, connection: sqlite3.Connection, boot_id: str, keep_events: int) -> None:
        self.connection = connection
        self.boot_id = boot_id
        self.events: list[Event] = []
        self._keep = keep_events
        self._effects: list[Callable[[View], None]] = []

    def apply(self, view: View) -> None:
        """Bring the view up to date, after the commit."""
        for effect in self._effects:
            effect(view)

    # containers ------------------------------------------------------------------------

    def container(self, container_id: str) -> Container:
        """As it is now. Raises NotFound."""
        found = tables.get_container(self.connection, container_id)
        if found is None:
            raise NotFound(f"No such container: {container_id}")
        return found[0]

    def name_holder(self, tenant: str, name: str) -> str:
        """The id of the container that has the name, made or being made; empty: nobody."""
        return tables.name_holder(self.connection, tenant, name)

    def put_container(self, record: Container, *, ready: bool = True) -> Container:
        """Insert or replace; it is visible to faces once it is ready. AlreadyExists: name."""
        tables.put_container(self.connection, record, ready=ready)
        if ready:
            self._effects.append(lambda view: view.put_container(record))
        return record

    def drop_container(self, container_id: str) -> None:
        """Delete, with its execs and intents."""
        tables.drop_container(self.connection, container_id)
        tables.drop_intents_of(self.connection, container_id)
        self._effects.append(lambda view: view.drop_container(container_id))

    # execs -----------------------------------------------------------------------------

    def exec(self, exec_id: str) -> Exec | None:
        return tables.get_exec(self.connection, exec_id)

    def put_exec(self, record: Exec) -> Exec:
        tables.put_exec(self.connection, record)
        self._effects.append(lambda view: view.put_exec(record))
        return record

    def forget_execs(self, container_id: str, keep: int) -> None:
        """Forget the oldest ended execs beyond ``keep``: their number has no bound."""
        ended = [
            record
            for record in tables.execs_of(self.connection, container_id)
            if record.exit_code is not None
        ]
        for record in ended[: max(0, len(ended) - keep)]:
            exec_id = record.id
            tables.drop_exec(self.connection, exec_id)
            self._effects.append(lambda view, one=exec_id: view.drop_exec(one))  # type: ignore[misc] # bound default

    def end_execs(self, container_id: str, code: int) -> None:
        """Execs that were running ended with their container."""
        for record in tables.execs_of(self.connection, container_id):
            if record.running:
                ended = msgspec.structs.replace(record, running=False, pid=0, exit_code=code)
                self.put_exec(ended)

    # pods ------------------------------------------------------------------------------

    def pod(self, pod_id: str) -> Pod:
        """As it is now. Raises NotFound."""
        found = tables.get_pod(self.connection, pod_id)
        if found is None:
            raise NotFound(f"No such pod: {pod_id}")
        return found[0]

    def put_pod(self, record: Pod, *, ready: bool = True) -> Pod:
        tables.put_pod(self.connection, record, ready=ready)
        if ready:
            self._effects.append(lambda view: view.put_pod(record))
        return record

    def drop_pod(self, pod_id: str) -> None:
        tables.drop_pod(self.connection, pod_id)
        tables.drop_intents_of(self.connection, pod_id)
        self._effects.append(lambda view: view.drop_pod(pod_id))

    # volumes ---------------------------------------------------------------------------

    def volume(self, tenant: str, name: str) -> tuple[Volume, bool] | None:
        """The record and whether it is ready, as it is now."""
        return volume_tables.get(self.connection, tenant, name)

    def put_volume(self, record: Volume, *, ready: bool = True) -> Volume:
        """Insert or replace; it is visible to faces once it is ready."""
        volume_tables.put(self.connection, record, ready=ready)
        if ready:
            self._effects.append(lambda view: view.put_volume(record))
        return record

    def hide_volume(self, record: Volume) -> None:
        """It is being removed: faces see it no more."""
        self._effects.append(lambda view: view.drop_volume(record))

    def drop_volume(self, record: Volume) -> None:
        """Delete, with its intents."""
        volume_tables.drop(self.connection, record.tenant, record.name)
        tables.drop_intents_of(self.connection, f"{record.tenant}/{record.name}")
        self.hide_volume(record)

    def use_volume(self, record: Volume, container_id: str) -> None:
        """Write that a container uses it, until the container is dropped."""
        volume_tables.use(self.connection, record.tenant, record.name, container_id)

    def volume_users(self, record: Volume) -> list[str]:
        """Ids of the containers that use it, those that are being made included."""
        return volume_tables.users(self.connection, record.tenant, record.name)

    def volume_event(self, record: Volume, action: str, **attributes: str) -> None:
        """An event with what Docker gives every event of a volume."""
        self.event("volume", action, record.name, record.tenant, driver=record.driver, **attributes)

    # intents and events ----------------------------------------------------------------

    def begin(self, kind: str, object_type: str, object_id: str, tenant: str, **data: Any) -> int:
        """Write that an operation begins; the number is for :meth:`end`."""
        return tables.add_intent(
            self.connection,
            kind=kind,
            object_type=object_type,
            object_id=object_id,
            tenant=tenant,
            boot_id=self.boot_id,
            begun_at=boot.wall_ns(),
            data=data,
        )

    def end(self, number: int) -> None:
        """The operation has ended, one way or the other."""
        tables.drop_intent(self.connection, number)

    def event(
        self, type_: str, action: str, object_id: str, tenant: str, **attributes: str
    ) -> None:
        """Tell the world, in the words of Docker's events."""
        event = Event(
            seq=0,
            time=boot.wall_ns(),
            monotonic=boot.boot_ns(),
            boot_id=self.boot_id,
            tenant=tenant,
            type=type_,
            action=action,
            id=object_id,
            attributes=attributes,
        )
        written = tables.add_event(self.connection, event)
        self.events.append(written)
        if written.seq % _PRUNE_EVERY == 0:
            tables.prune_events(self.connection, written.seq, self._keep)

    def container_event(self, record: Container, action: str, **attributes: str) -> None:
        """An event with the attributes that Docker gives every event of a container."""
        common = {**record.config.labels, "image": record.image_ref, "name": record.name}
        if record.pod_id:
            common["pod"] = record.pod_id
        self.event("container", action, record.id, record.tenant, **common, **attributes)

    def network_event(self, endpoint: Endpoint, record: Container, action: str) -> None:
        """``connect`` or ``disconnect``, as Docker tells them."""
        attributes = {"container": record.id, "name": endpoint.network, "type": "bridge"}
        self.event("network", action, endpoint.network_id, record.tenant, **attributes)


class Door:
    """Runs transactions and tells the view and the subscribers."""

    def __init__(self, db: Database, view: View, *, boot_id: str, keep_events: int) -> None:
        self._db = db
        self._view = view
        self._boot_id = boot_id
        self._keep = keep_events
        self._listeners: list[Callable[[list[Event]], None]] = []

    def listen(self, listener: Callable[[list[Event]], None]) -> None:
        """Call ``listener(events)`` on the loop after each commit, the view being up to date
        (also for a commit without events)."""
        self._listeners.append(listener)

    async def commit(self, step: Callable[[Tx], T], *, durable: bool = False) -> T:
        """Run ``step`` as one transaction.

        Arguments:
            step: called on the writer thread; what it raises undoes it.
            durable: names and records of objects: on the disk when this returns. Without:
                run state, which a power failure may take (nothing runs after one anyway).
        """

        result, _tx = await self.begin(step, durable=durable)
        return result

    def begin(
        self, step: Callable[[Tx], T], *, durable: bool = False
    ) -> asyncio.Future[tuple[T, Tx]]:
        """:meth:`commit` for somebody who awaits it later: its place in the order of commits
        is taken when this returns."""

        def transaction(connection: sqlite3.Connection) -> tuple[T, Tx]:
            tx = Tx(connection, self._boot_id, self._keep)
            return step(tx), tx

        return self._db.begin(
            transaction, durable=durable, on_commit=lambda done: self._publish(done[1])
        )

    def join(self, connection: sqlite3.Connection) -> Tx:
        """Take part in another package's transaction (an image's change and its event)."""
        tx = Tx(connection, self._boot_id, self._keep)
        self._db.after_commit(lambda: self._publish(tx))
        return tx

    def _publish(self, tx: Tx) -> None:
        tx.apply(self._view)
        for listener in self._listeners:
            listener(tx.events)
