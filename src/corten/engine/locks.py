"""Locks per object, always taken in one order, so that no two operations can wait in a ring."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

ORDER = ("volume", "image", "network", "pod", "container", "exec")


class Locks:
    """One lock per (kind, id); it exists only while somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._users: dict[tuple[str, str], int] = {}

    @asynccontextmanager
    async def hold(self, *objects: tuple[str, str]) -> AsyncIterator[None]:
        """Hold the locks of all ``(kind, id)``, taken in :data:`ORDER`, then by id."""
        wanted = sorted(set(objects), key=lambda o: (ORDER.index(o[0]), o[1]))
        async with AsyncExitStack() as stack:
            for key in wanted:
                await stack.enter_async_context(self._one(key))
            yield

    def held(self, kind: str, object_id: str) -> bool:
        """Whether somebody holds it now."""
        lock = self._locks.get((kind, object_id))
        return lock is not None and lock.locked()

    @asynccontextmanager
    async def _one(self, key: tuple[str, str]) -> AsyncIterator[None]:
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._users[key] = self._users.get(key, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._locks[key]
