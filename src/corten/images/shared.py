"""Work that several wait for: one task, as many waiters, its progress to all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from corten.images.types import Progress, ProgressSink

T = TypeVar("T")
Work = Callable[[ProgressSink], Awaitable[T]]


class _Run(Generic[T]):
    def __init__(self) -> None:
        self.task: asyncio.Task[T]
        self.sinks: list[ProgressSink] = []
        self.waiters = 0

    def report(self, progress: Progress) -> None:
        for sink in self.sinks:
            sink(progress)


class Shared(Generic[T]):
    """Tasks by key. A task ends early only when the last of its waiters is cancelled."""

    def __init__(self) -> None:
        self._running: dict[str, _Run[T]] = {}

    async def join(self, key: str, work: Work[T], sink: ProgressSink) -> T:
        """Wait for the task ``key``; begin it with ``work`` where it is not under way."""
        run = self._running.get(key)
        if run is None:
            run = self._running[key] = self._begin(key, work)
        run.sinks.append(sink)
        run.waiters += 1
        try:
            return await asyncio.shield(run.task)
        finally:
            run.waiters -= 1
            run.sinks.remove(sink)
            if not run.waiters and not run.task.done():
                run.task.cancel()
                await asyncio.wait([run.task])

    async def wait(self, key: str) -> None:
        """Wait for the end of a task, however it ends; nothing if there is none."""
        run = self._running.get(key)
        if run is not None:
            await asyncio.wait([run.task])

    async def cancel_all(self) -> None:
        """End everything and wait for it."""
        tasks = [run.task for run in self._running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _begin(self, key: str, work: Work[T]) -> _Run[T]:
        run: _Run[T] = _Run()

        async def drive() -> T:
            return await work(run.report)

        def ended(task: asyncio.Task[T]) -> None:
            if self._running.get(key) is run:
                del self._running[key]
            if not task.cancelled():
                task.exception()  # seen: the waiters may all be gone

        run.task = asyncio.get_running_loop().create_task(drive())
        run.task.add_done_callback(ended)
        return run


class Locks:
    """Locks by key, which exist while somebody wants them."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """Nobody else holds ``key`` meanwhile."""
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = (lock, users - 1)


async def all_or_none(tasks: list[Awaitable[T]]) -> list[T]:
    """Like ``gather``, but the first failure ends the others, and is what is raised."""
    running = [asyncio.ensure_future(task) for task in tasks]
    try:
        return await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
