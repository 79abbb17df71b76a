"""Rows of the tables of ``store/migrations/0006_volumes.sql``."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import msgspec

from corten.engine.types import Volume

_encode = msgspec.json.Encoder().encode
_volume = msgspec.json.Decoder(Volume).decode


def put(db: sqlite3.Connection, record: Volume, *, ready: bool) -> None:
    """Insert or replace."""
    db.execute(
        "INSERT INTO volumes (tenant, name, ready, record) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (tenant, name) DO UPDATE SET"
        " ready = excluded.ready, record = excluded.record",
        (record.tenant, record.name, int(ready), _encode(record)),
    )


def get(db: sqlite3.Connection, tenant: str, name: str) -> tuple[Volume, bool] | None:
    """The record, and whether it is neither being made nor being removed."""
    row = db.execute(
        "SELECT record, ready FROM volumes WHERE tenant = ? AND name = ?", (tenant, name)
    ).fetchone()
    return None if row is None else (_volume(row[0]), bool(row[1]))


def every(db: sqlite3.Connection) -> Iterator[tuple[Volume, bool]]:
    """All of them."""
    for record, ready in db.execute("SELECT record, ready FROM volumes"):
        yield _volume(record), bool(ready)


def drop(db: sqlite3.Connection, tenant: str, name: str) -> None:
    """Forget one that nobody uses."""
    db.execute("DELETE FROM volumes WHERE tenant = ? AND name = ?", (tenant, name))


def use(db: sqlite3.Connection, tenant: str, name: str, container_id: str) -> None:
    """Write that a container uses it."""
    db.execute(
        "INSERT INTO volume_uses (tenant, name, container_id) VALUES (?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (tenant, name, container_id),
    )


def users(db: sqlite3.Connection, tenant: str, name: str) -> list[str]:
    """The containers that use it, those that are being made included."""
    rows = db.execute(
        "SELECT container_id FROM volume_uses WHERE tenant = ? AND name = ? ORDER BY rowid",
        (tenant, name),
    )
    return [str(row[0]) for row in rows]
