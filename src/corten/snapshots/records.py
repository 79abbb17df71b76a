"""The records of layers and active snapshots: rows in the store, and the same in memory.

What is in memory is what was committed: it changes in the order of the commits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable

from corten.spec._struct import Struct
from corten.store.database import Database


class Layer(Struct):
    """One row of ``layers``; see the migration for the fields."""

    chain_id: str
    parent: str
    diff_id: str
    number: int
    size: int
    inodes: int
    boot_id: str


class Active(Struct):
    """One row of ``snapshots``."""

    key: str
    parent: str
    number: int


class Records:
    """What one snapshotter has."""

    def __init__(self, db: Database, snapshotter: str) -> None:
        self._db = db
        self._name = snapshotter
        self.layers: dict[str, Layer] = {}
        self.active: dict[str, Active] = {}

    async def load(self) -> None:
        """Read everything; before anything else."""
        self.layers, self.active = await self._db.query(self._read)

    def _read(self, conn: sqlite3.Connection) -> tuple[dict[str, Layer], dict[str, Active]]:
        layers = {
            row[0]: Layer(
                chain_id=row[0],
                parent=row[1] or "",
                diff_id=row[2],
                number=row[3],
                size=row[4],
                inodes=row[5],
                boot_id=row[6],
            )
            for row in conn.execute(
                "SELECT chain_id, parent, diff_id, number, size, inodes, boot_id"
                " FROM layers WHERE snapshotter = ?",
                (self._name,),
            )
        }
        active = {
            row[0]: Active(key=row[0], parent=row[1] or "", number=row[2])
            for row in conn.execute(
                "SELECT key, parent, number FROM snapshots WHERE snapshotter = ?", (self._name,)
            )
        }
        return layers, active

    async def put_layer(self, layer: Layer) -> None:
        """Insert, or replace what is known of it; durable."""

        def write(conn: sqlite3.Connection) -> None:
            conn.execute(
                "INSERT INTO layers VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET number = excluded.number, size = excluded.size,"
                " inodes = excluded.inodes, boot_id = excluded.boot_id",
                (
                    self._name,
                    layer.chain_id,
                    layer.parent or None,
                    layer.diff_id,
                    layer.number,
                    layer.size,
                    layer.inodes,
                    layer.boot_id,
                ),
            )

        def remember(_: None) -> None:
            self.layers[layer.chain_id] = layer

        await self._db.write(write, on_commit=remember)

    async def mark_synced(self, layers: Iterable[Layer]) -> None:
        """The files of these are on the disk."""
        pairs = [(layer.chain_id, layer.number) for layer in layers]

        def write(conn: sqlite3.Connection) -> None:
            for chain_id, number in pairs:
                conn.execute(
                    "UPDATE layers SET boot_id = ''"
                    " WHERE snapshotter = ? AND chain_id = ? AND number = ?",
                    (self._name, chain_id, number),
                )

        await self._db.write(write, durable=False)

    async def drop_layers(self, chain_ids: Collection[str]) -> None:
        """Forget layers, given topmost first."""

        def write(conn: sqlite3.Connection) -> None:
            for chain_id in chain_ids:
                conn.execute(
                    "DELETE FROM layers WHERE snapshotter = ? AND chain_id = ?",
                    (self._name, chain_id),
                )

        def forget(_: None) -> None:
            for chain_id in chain_ids:
                self.layers.pop(chain_id, None)

        await self._db.write(write, on_commit=forget)

    async def add_active(self, active: Active) -> None:
        """Insert; durable with the next durable transaction of anybody (the log is in order)."""

        await self._db.write(lambda conn: self.enter(conn, active), durable=False)

    def enter(self, conn: sqlite3.Connection, active: Active) -> None:
        """Insert, in somebody's transaction."""
        conn.execute(
            "INSERT INTO snapshots VALUES (?, ?, ?, ?)",
            (self._name, active.key, active.parent or None, active.number),
        )
        self._db.after_commit(lambda: self.active.__setitem__(active.key, active))

    async def drop_active(self, keys: Collection[str]) -> None:
        """Forget active snapshots."""

        def write(conn: sqlite3.Connection) -> None:
            for key in keys:
                self.leave(conn, key, lambda _active: None)

        await self._db.write(write, durable=False)

    def leave(self, conn: sqlite3.Connection, key: str, then: Callable[[Active], object]) -> None:
        """Delete, in somebody's transaction; ``then`` is called with what is on no record any
        more, after the commit."""
        conn.execute("DELETE FROM snapshots WHERE snapshotter = ? AND key = ?", (self._name, key))

        def forget() -> None:
            active = self.active.pop(key, None)
            if active is not None:
                then(active)

        self._db.after_commit(forget)
