"""Rows and records of the engine's tables (``store/migrations/0001_engine.sql``)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from corten.engine.types import Container, Event, Exec, Pod, PodConfig

_encode = msgspec.json.Encoder().encode
_container = msgspec.json.Decoder(Container).decode
_exec = msgspec.json.Decoder(Exec).decode
_pod = msgspec.json.Decoder(Pod).decode


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """An operation that has begun and is not known to have ended."""

    number: int
    kind: str
    object_type: str
    object_id: str
    tenant: str
    boot_id: str
    begun_at: int
    data: dict[str, Any]


def pod_key(config: PodConfig) -> str:
    """What a pod is known by to the kubelet, as one string."""
    return "\0".join((config.namespace, config.name, config.uid, str(config.attempt)))


# --- containers -------------------------------------------------------------------------


def put_container(db: sqlite3.Connection, record: Container, *, ready: bool) -> None:
    db.execute(
        "INSERT INTO containers (id, tenant, name, image_id, pod_id, ready, record)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
        " name = excluded.name, ready = excluded.ready, record = excluded.record",
        (
            record.id,
            record.tenant,
            record.name,
            record.image_id,
            record.pod_id or None,
            int(ready),
            _encode(record),
        ),
    )


def get_container(db: sqlite3.Connection, container_id: str) -> tuple[Container, bool] | None:
    """The record and whether its create is finished."""
    row = db.execute(
        "SELECT record, ready FROM containers WHERE id = ?", (container_id,)
    ).fetchone()
    return None if row is None else (_container(row[0]), bool(row[1]))


def name_holder(db: sqlite3.Connection, tenant: str, name: str) -> str:
    """The id of the container with this name, ready or not; empty: nobody."""
    row = db.execute(
        "SELECT id FROM containers WHERE tenant = ? AND name = ?", (tenant, name)
    ).fetchone()
    return str(row[0]) if row else ""


def all_containers(db: sqlite3.Connection) -> Iterator[tuple[Container, bool]]:
    for record, ready in db.execute("SELECT record, ready FROM containers"):
        yield _container(record), bool(ready)


def drop_container(db: sqlite3.Connection, container_id: str) -> None:
    db.execute("DELETE FROM containers WHERE id = ?", (container_id,))


# --- execs ------------------------------------------------------------------------------


def put_exec(db: sqlite3.Connection, record: Exec) -> None:
    db.execute(
        "INSERT INTO execs (id, container_id, record) VALUES (?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET record = excluded.record",
        (record.id, record.container_id, _encode(record)),
    )


def get_exec(db: sqlite3.Connection, exec_id: str) -> Exec | None:
    row = db.execute("SELECT record FROM execs WHERE id = ?", (exec_id,)).fetchone()
    return None if row is None else _exec(row[0])


def execs_of(db: sqlite3.Connection, container_id: str) -> list[Exec]:
    """The execs of a container, oldest first."""
    rows = db.execute(
        "SELECT record FROM execs WHERE container_id = ? ORDER BY rowid", (container_id,)
    )
    return [_exec(row[0]) for row in rows]


def drop_exec(db: sqlite3.Connection, exec_id: str) -> None:
    db.execute("DELETE FROM execs WHERE id = ?", (exec_id,))


def all_execs(db: sqlite3.Connection) -> Iterator[Exec]:
    for (record,) in db.execute("SELECT record FROM execs ORDER BY rowid"):
        yield _exec(record)


# --- pods -------------------------------------------------------------------------------


def put_pod(db: sqlite3.Connection, record: Pod, *, ready: bool) -> None:
    db.execute(
        "INSERT INTO pods (id, tenant, key, ready, record) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET ready = excluded.ready, record = excluded.record",
        (record.id, record.tenant, pod_key(record.config), int(ready), _encode(record)),
    )


def get_pod(db: sqlite3.Connection, pod_id: str) -> tuple[Pod, bool] | None:
    row = db.execute("SELECT record, ready FROM pods WHERE id = ?", (pod_id,)).fetchone()
    return None if row is None else (_pod(row[0]), bool(row[1]))


def all_pods(db: sqlite3.Connection) -> Iterator[tuple[Pod, bool]]:
    for record, ready in db.execute("SELECT record, ready FROM pods"):
        yield _pod(record), bool(ready)


def drop_pod(db: sqlite3.Connection, pod_id: str) -> None:
    db.execute("DELETE FROM pods WHERE id = ?", (pod_id,))


# --- intents ----------------------------------------------------------------------------

_INTENT = "number, kind, object_type, object_id, tenant, boot_id, begun_at, data"


def add_intent(
    db: sqlite3.Connection,
    *,
    kind: str,
    object_type: str,
    object_id: str,
    tenant: str,
    boot_id: str,
    begun_at: int,
    data: dict[str, Any],
) -> int:
    """Its number."""
    cursor = db.execute(
        "INSERT INTO intents (kind, object_type, object_id, tenant, boot_id, begun_at, data)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (kind, object_type, object_id, tenant, boot_id, begun_at, json.dumps(data)),
    )
    return int(cursor.lastrowid or 0)


def all_intents(db: sqlite3.Connection) -> list[Intent]:
    """In the order in which they began."""
    return [
        Intent(
            number=row[0],
            kind=row[1],
            object_type=row[2],
            object_id=row[3],
            tenant=row[4],
            boot_id=row[5],
            begun_at=row[6],
            data=json.loads(row[7]),
        )
        for row in db.execute(f"SELECT {_INTENT} FROM intents ORDER BY number")  # noqa: S608 constant
    ]


def drop_intent(db: sqlite3.Connection, number: int) -> None:
    db.execute("DELETE FROM intents WHERE number = ?", (number,))


def drop_intents_of(db: sqlite3.Connection, object_id: str) -> None:
    db.execute("DELETE FROM intents WHERE object_id = ?", (object_id,))


# --- events -----------------------------------------------------------------------------

_EVENT = "seq, time, monotonic, boot_id, tenant, type, action, object_id, attributes"


def add_event(db: sqlite3.Connection, event: Event) -> Event:
    """Write it; the returned one has its sequence number."""
    cursor = db.execute(
        "INSERT INTO events (time, monotonic, boot_id, tenant, type, action, object_id, attributes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            event.time,
            event.monotonic,
            event.boot_id,
            event.tenant,
            event.type,
            event.action,
            event.id,
            json.dumps(event.attributes),
        ),
    )
    return msgspec.structs.replace(event, seq=int(cursor.lastrowid or 0))


def prune_events(db: sqlite3.Connection, newest: int, keep: int) -> None:
    db.execute("DELETE FROM events WHERE seq <= ?", (newest - keep,))


def last_seq(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return int(row[0]) if row else 0


def events_between(
    db: sqlite3.Connection, *, after_seq: int, since: int, until: int, limit: int
) -> list[Event]:
    """Events with ``seq`` above ``after_seq`` and a time in [since, until), oldest first."""
    rows = db.execute(
        f"SELECT {_EVENT} FROM events WHERE seq > ? AND time >= ? AND time < ?"  # noqa: S608 constant
        " ORDER BY seq LIMIT ?",
        (after_seq, since, until, limit),
    )
    return [
        Event(
            seq=row[0],
            time=row[1],
            monotonic=row[2],
            boot_id=row[3],
            tenant=row[4],
            type=row[5],
            action=row[6],
            id=row[7],
            attributes=json.loads(row[8]),
        )
        for row in rows
    ]
