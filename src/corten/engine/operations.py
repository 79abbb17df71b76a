"""Operations belong to the engine: tasks that nobody's disconnection cancels, and that a
retry joins."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from corten.errors import CortenError

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Operations:
    """The operations that are under way, by what they do to what."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, ...], asyncio.Task[Any]] = {}
        self._background: set[asyncio.Task[Any]] = set()

    async def run(self, key: tuple[str, ...], work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Begin ``work``, or join the one with the same key, and wait for its end.

        Cancelling the awaiting task cancels nothing. Every joiner gets the same result or
        the same error.

        Arguments:
            key: kind of operation, object's id, and whatever makes two of them different.
        """
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(work(), name="-".join(key))
            self._running[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    def background(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """A task of the engine's own that nobody awaits; its failure is logged."""
        task = asyncio.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._background_ended)
        return task

    def running(self) -> list[tuple[str, ...]]:
        """Keys of what is under way."""
        return list(self._running)

    async def settle(self, deadline: float) -> None:
        """Wait until everything under way has ended, at most ``deadline`` seconds."""
        tasks = [*self._running.values(), *self._background]
        if tasks:
            await asyncio.wait(tasks, timeout=deadline)
        for task in self._background:
            task.cancel()

    def _ended(self, key: tuple[str, ...], task: asyncio.Task[Any]) -> None:
        self._running.pop(key, None)
        _report(task)

    def _background_ended(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        _report(task, level=logging.WARNING)


async def both(first: Awaitable[A], second: Awaitable[B]) -> tuple[A, B]:
    """Both at once, and both to their ends even if one fails; raises the first error."""
    one, two = await asyncio.gather(first, second, return_exceptions=True)
    if isinstance(one, BaseException):
        raise one
    if isinstance(two, BaseException):
        raise two
    return one, two


def _report(task: asyncio.Task[Any], level: int = logging.DEBUG) -> None:
    """Fetch the error (nobody else may), so that asyncio doesn't call it forgotten."""
    if task.cancelled():
        return
    error = task.exception()
    if error is None:
        return
    if isinstance(error, CortenError):
        _log.log(level, "%s: %s", task.get_name(), error)
    else:
        _log.error("%s failed", task.get_name(), exc_info=error)
