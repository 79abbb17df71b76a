"""Leases: content that is needed before a name needs it, and the sweep that respects them."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Collection, Iterable

from corten.errors import Cancelled, DeadlineExceeded, Unavailable
from corten.images import garbage
from corten.images.catalog import Catalog
from corten.images.content import Content
from corten.snapshots.protocol import Snapshotter
from corten.store.database import Database

_LIFETIME = 24 * 3600 * 1_000_000_000  # nanoseconds
# After these a retry may work, and should find what was fetched already.
_WORTH_KEEPING = (Unavailable, DeadlineExceeded, Cancelled, asyncio.CancelledError)


class Leases:
    """Who needs what. Taking content into use and sweeping exclude each other."""

    def __init__(
        self, db: Database, content: Content, snapshotter: Snapshotter, catalog: Catalog
    ) -> None:
        self._db = db
        self._content = content
        self._snapshotter = snapshotter
        self._catalog = catalog
        self._gate = asyncio.Lock()
        self._held: set[Lease] = set()

    async def start(self) -> None:
        """Drop leases that nobody came back for."""
        await self._db.write(_expire, durable=False)

    def hold(self, key: str, tenant: str) -> Lease:
        """A lease to use as ``async with``; a retry with the same key takes it over."""
        return Lease(self, key, tenant)

    async def collect(self) -> list[str]:
        """Remove layers and blobs that no name and no lease needs; the layers that are gone."""

        def write(conn: sqlite3.Connection) -> garbage.Marks:
            _expire(conn)
            return garbage.mark(conn)

        async with self._gate:
            marks = await self._db.write(write, durable=False)
            self._catalog.forget(marks.forgotten)
            chains = set(marks.chains)
            blobs = set(marks.blobs)
            for lease in self._held:
                chains |= lease.chains
                blobs |= lease.blobs
            gone = await self._snapshotter.collect(chains)
            await self._content.sweep(blobs)
            return gone

    # for Lease -------------------------------------------------------------------------
    async def begin(self, lease: Lease) -> None:
        async with self._gate:
            self._held.add(lease)

    async def extend(self, lease: Lease, blobs: Collection[str], chains: Iterable[str]) -> None:
        def write(conn: sqlite3.Connection) -> None:
            garbage.put_lease(conn, lease.key, lease.tenant, blobs)

        async with self._gate:
            lease.blobs.update(blobs)
            lease.chains.update(chains)
            await self._db.write(write, durable=False)

    async def end(self, lease: Lease, *, keep: bool) -> None:
        self._held.discard(lease)
        if keep or any(other.key == lease.key for other in self._held):
            return

        def write(conn: sqlite3.Connection) -> None:
            garbage.drop_lease(conn, lease.key)

        await self._db.write(write, durable=False)


def _expire(conn: sqlite3.Connection) -> None:
    garbage.expire_leases(conn, time.time_ns() - _LIFETIME)


class Lease:
    """What one operation needs until it has made a name for it."""

    def __init__(self, leases: Leases, key: str, tenant: str) -> None:
        self._leases = leases
        self.key = key
        self.tenant = tenant
        self.blobs: set[str] = set()
        self.chains: set[str] = set()

    async def __aenter__(self) -> Lease:
        await self._leases.begin(self)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        keep = kind is not None and issubclass(kind, _WORTH_KEEPING)
        await asyncio.shield(self._leases.end(self, keep=keep))
        if kind is not None and not keep:
            await asyncio.shield(self._leases.collect())

    async def add(self, blobs: Collection[str], chains: Iterable[str] = ()) -> None:
        """Need these from now on, before looking whether they are there."""
        await self._leases.extend(self, blobs, chains)
