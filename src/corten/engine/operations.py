"""Operations belong to the engine: tasks that nobody's disconnection cancels, and that a
retry joins."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from corten.errors import CortenError, NotFound, ResourceExhausted, Unavailable

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")
_log = logging.getLogger(__name__)
_MOMENT = 2.0  # seconds
_RETRY_FIRST, _RETRY_LAST = 0.2, 1.0  # seconds between tries while the disk is full


class Operations:
    """The operations that are under way, by what they do to what."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, ...], asyncio.Task[Any]] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._watches: set[asyncio.Task[Any]] = set()
        self._insisting: set[_Insistence] = set()

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

    async def insist(self, step: Callable[[], Awaitable[object]], what: str) -> None:
        """Do it, and again as long as the disk is full: an exit, or the undo of something,
        must not be lost for that. Other errors are logged.

        Arguments:
            what: for the log.
        """
        one = _Insistence(step, what)
        self._insisting.add(one)
        try:
            await one.run()
        finally:
            self._insisting.discard(one)

    async def insist_apart(self, step: Callable[[], Awaitable[object]], what: str) -> None:
        """:meth:`insist` as a task of its own; waited for a moment, as it mostly takes none,
        but on a full disk it lasts until there is space again."""
        task = self.background(self.insist(step, what), what)
        await asyncio.wait((task,), timeout=_MOMENT)

    async def hurry(self) -> bool:
        """Have everything that waits for space try again now; whether there was anything.
        Somebody wants to use what it has not taken back yet."""
        waiting = [asyncio.create_task(one.try_now()) for one in self._insisting]
        if waiting:
            await asyncio.wait(waiting, timeout=_MOMENT)
        return bool(waiting)

    def watch(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """A background task that waits for what may never come: a clean stop doesn't."""
        task = self.background(work, name)
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)
        return task

    def running(self) -> list[tuple[str, ...]]:
        """Keys of what is under way."""
        return list(self._running)

    async def settle(self, deadline: float) -> None:
        """Wait until everything under way has ended, at most ``deadline`` seconds."""
        tasks = [*self._running.values(), *(self._background - self._watches)]
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


class _Insistence:
    """A step that is tried until it works."""

    def __init__(self, step: Callable[[], Awaitable[object]], what: str) -> None:
        self._step = step
        self._what = what
        self._now = asyncio.Event()
        self._attempts = 0
        self._trying = False
        self._attempted = asyncio.Condition()
        self._over = False

    async def run(self) -> None:
        pause = _RETRY_FIRST
        try:
            while not await self._attempt():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._now.wait()
                pause = min(pause * 2, _RETRY_LAST)
        finally:
            self._over = True
            async with self._attempted:
                self._attempted.notify_all()

    async def try_now(self) -> None:
        """Return when an attempt that begins from now on has ended."""
        self._now.set()
        # One that is under way may have found the disk full before it was not.
        wanted = self._attempts + (2 if self._trying else 1)
        async with self._attempted:
            await self._attempted.wait_for(lambda: self._over or self._attempts >= wanted)

    async def _attempt(self) -> bool:
        """Whether it is over."""
        self._now.clear()
        self._trying = True
        try:
            await self._step()
        except (ResourceExhausted, Unavailable) as error:
            _log.error("%s: %s; trying again", self._what, error)
            return False
        except NotFound:
            return True
        except CortenError as error:
            _log.error("%s: %s", self._what, error)
            return True
        finally:
            self._attempts += 1
            self._trying = False
            async with self._attempted:
                self._attempted.notify_all()
        return True


async def both(first: Awaitable[A], second: Awaitable[B]) -> tuple[A, B]:
    """Both at once, and both to their ends even if one fails; raises the first error."""
    one, two = await asyncio.gather(first, second, return_exceptions=True)
    if isinstance(one, BaseException):
        raise one
    if isinstance(two, BaseException):
        raise two
    return one, two


async def logged(work: Awaitable[T], what: str) -> T | None:
    """The result, or None and a line in the log."""
    try:
        return await work
    except CortenError as error:
        _log.error("%s: %s", what, error)
        return None


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
