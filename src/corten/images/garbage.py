"""What must stay: marks from names and leases, for the sweep of blobs and layers."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable

import msgspec

from corten.images.catalog import Stored
from corten.spec import jsonlite


class Marks(msgspec.Struct, frozen=True):
    """What must stay."""

    blobs: frozenset[str]
    chains: frozenset[str]
    forgotten: tuple[str, ...]


def mark(conn: sqlite3.Connection) -> Marks:
    """Drop rows that nobody needs any more, and tell which blobs and layers must stay."""
    forgotten = conn.execute(
        "DELETE FROM images WHERE id NOT IN (SELECT image_id FROM image_owners) RETURNING id"
    ).fetchall()
    conn.execute(
        "DELETE FROM manifests WHERE digest NOT IN (SELECT manifest FROM image_owners)"
        " AND digest NOT IN (SELECT manifest FROM image_names)"
    )
    blobs = {row[0] for row in conn.execute("SELECT digest FROM lease_blobs")}
    blobs |= {row[0] for row in conn.execute("SELECT target FROM image_names")}
    for digest, listed in conn.execute("SELECT digest, blobs FROM manifests"):
        blobs.add(digest)
        blobs.update(jsonlite.loads(listed))
    chains = set()
    for (record,) in conn.execute("SELECT record FROM images"):
        chains.add(msgspec.json.decode(record, type=Stored).chain_id)
    return Marks(frozenset(blobs), frozenset(chains - {""}), tuple([row[0] for row in forgotten]))


def put_lease(conn: sqlite3.Connection, lease: str, tenant: str, blobs: Iterable[str]) -> None:
    """Begin or extend a lease."""
    conn.execute(
        "INSERT INTO leases VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET created_at = excluded.created_at",
        (lease, tenant, time.time_ns()),
    )
    conn.executemany(
        "INSERT INTO lease_blobs VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(lease, digest) for digest in blobs],
    )


def drop_lease(conn: sqlite3.Connection, lease: str) -> None:
    """End a lease; nothing if there is none."""
    conn.execute("DELETE FROM leases WHERE id = ?", (lease,))


def expire_leases(conn: sqlite3.Connection, before: int) -> None:
    """Drop leases that were last extended before a time (nanoseconds since the epoch)."""
    conn.execute("DELETE FROM leases WHERE created_at < ?", (before,))
