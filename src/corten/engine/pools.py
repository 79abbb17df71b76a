"""Bounded pools of threads for calls that can block, each with a deadline.

A call that hangs (NFS, a dead disk) can't be interrupted: it keeps its thread, its caller
gets DeadlineExceeded, and a pool whose threads all hang says so instead of growing. The
threads are daemonic: none of them may hold up the process's end.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from corten.errors import DeadlineExceeded, ResourceExhausted, exhausted

T = TypeVar("T")


class _Call:
    __slots__ = ("abandoned", "args", "fn", "future", "loop")

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.fn = fn
        self.args = args
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.abandoned = False

    def settle(self, value: Any, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(value)
        else:
            self.future.set_exception(error)


class Pool:
    """Threads for one kind of blocking call."""

    def __init__(self, name: str, threads: int, *, waiting: int = 1024) -> None:
        """
        Arguments:
            name: for messages and thread names.
            threads: the most that run at once; started as they are needed.
            waiting: the most calls that may wait for a thread.
        """
        self.name = name
        self._limit = threads
        self._waiting = waiting
        self._queue: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._guard = threading.Lock()

    async def run(self, fn: Callable[..., T], *args: Any, deadline: float) -> T:
        """``fn(*args)`` on a thread.

        Arguments:
            deadline: seconds, waiting for a thread included.

        Raises:
            DeadlineExceeded: the call goes on, its result is dropped.
            ResourceExhausted: too many calls wait already; or the call says that disk,
                memory or descriptors are used up.
        """
        if self._queue.qsize() >= self._waiting:
            raise ResourceExhausted(f"too many calls wait in the pool {self.name}")
        call = _Call(fn, args, asyncio.get_running_loop())
        self._queue.put(call)
        self._grow()
        try:
            async with asyncio.timeout(deadline):
                result: T = await call.future
                return result
        except TimeoutError:
            call.abandoned = True
            name = getattr(fn, "__name__", "call")
            raise DeadlineExceeded(
                f"{name} did not return within {deadline:g} s", step=self.name
            ) from None

    def close(self) -> None:
        """End the idle threads; busy ones end with their call."""
        for _thread in self._threads:
            self._queue.put(None)

    def _grow(self) -> None:
        with self._guard:
            if self._idle >= self._queue.qsize() or len(self._threads) >= self._limit:
                return
            name = f"{self.name}-{len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while True:
            with self._guard:
                self._idle += 1
            call = self._queue.get()
            with self._guard:
                self._idle -= 1
            if call is None:
                return
            if not call.abandoned:
                _perform(call)
            del call  # what it holds is not kept until the next one comes


def _perform(call: _Call) -> None:
    value: Any = None
    error: BaseException | None = None
    try:
        value = call.fn(*call.args)
    except OSError as caught:
        error = exhausted(caught, path=str(caught.filename or "")) or caught
    except BaseException as caught:
        error = caught
    try:
        call.loop.call_soon_threadsafe(call.settle, value, error)
    except RuntimeError:  # the loop has ended
        return
