"""A connection of ``launch.client`` on the asyncio loop: requests are awaited, events called."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import Any

from corten.errors import CortenError, Unavailable
from corten.launch.client import Connection, Event, Reply
from corten.launch.messages import Message

EventSink = Callable[[Event], None]


class Peer:
    """The driver of one connection; it owns it."""

    def __init__(
        self,
        connection: Connection,
        *,
        name: str,
        on_event: EventSink | None = None,
        on_close: Callable[[], None] | None = None,
        first: int | None = None,
        on_silence: Callable[[], None] | None = None,
        patience: float = 0.0,
    ) -> None:
        """
        Arguments:
            name: for messages.
            first: number of a reply that comes without a request (a new monitor's).
            on_silence: called when requests wait and nothing was answered for ``patience``
                seconds; whether somebody still wants the reply makes no difference.
            on_event: called for each event, in order, and before a reply that came later
                returns to its caller.
            on_close: called once when the other end is gone; every reply that arrived and
                every event was delivered before.
        """
        self.name = name
        self.patience = patience
        self._connection = connection
        self._on_event = on_event
        self._on_close = on_close
        self._on_silence = on_silence
        self._silence: asyncio.TimerHandle | None = None
        self._open: set[int] = set()
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._loop = asyncio.get_running_loop()
        self._first: asyncio.Future[Reply] | None = None
        if first is not None:
            self._first = self._waiting[first] = self._loop.create_future()
        self._writing = False
        self.closed = False
        self._fd = connection.fileno()
        self._loop.add_reader(self._fd, self._readable)

    async def call(self, request: Message, fds: dict[str, int] | None = None) -> dict[str, Any]:
        """Send and wait for the reply's fields; descriptors of the reply are closed.

        Raises: what the other end answered; Unavailable: it is gone (and may have done it).
        """
        reply = await self.call_fds(request, fds)
        reply.close_fds()
        return reply.result()

    async def call_fds(self, request: Message, fds: dict[str, int] | None = None) -> Reply:
        """As :meth:`call`, for a reply whose descriptors are wanted: they are the caller's.
        An error that was answered is raised."""
        reply = await self.expect(self.send(request, fds))
        if reply.error is not None:
            reply.close_fds()
            raise reply.error
        return reply

    def send(self, request: Message, fds: dict[str, int] | None = None) -> int:
        """Send now (the descriptors may be closed when this returns); see :meth:`expect`."""
        if self.closed:
            raise self._gone()
        number = self._connection.send(request, fds)
        self._watch_writing()
        return number

    async def expect(self, number: int) -> Reply:
        """The reply to what was sent."""
        if self.closed:
            raise self._gone()
        self._watch_writing()
        return await self._wait(self._expected(number))

    def ask(self, request: Message, fds: dict[str, int] | None = None) -> asyncio.Future[Reply]:
        """Send now, although what was sent before is not answered yet; the reply, which may be
        an error, comes later. It has no descriptors, so it may be forgotten."""
        return self._expected(self.send(request, fds))

    def _expected(self, number: int) -> asyncio.Future[Reply]:
        self._open.add(number)
        if self._silence is None:
            self._listen()
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting[number] = future
        return future

    async def expect_first(self) -> Reply:
        """The reply that comes without a request."""
        assert self._first is not None
        return await self._wait(self._first)

    async def _wait(self, future: asyncio.Future[Reply]) -> Reply:
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                future.result().close_fds()
            raise

    def drain(self) -> None:
        """The other process is known to have ended: deliver what it sent, then close, even
        if a child of its still holds the socket."""
        if not self.closed:
            self._readable()
        self._end()

    def close(self) -> None:
        """Let go of the connection; nothing is delivered any more."""
        self._on_event = self._on_close = self._on_silence = None
        self._end()

    def _gone(self) -> CortenError:
        return Unavailable(f"{self.name} has ended", hint="try again")

    def _readable(self) -> None:
        try:
            arrived = self._connection.receive()
        except CortenError as error:
            self._end(error)
            return
        for item in arrived:
            if isinstance(item, Event):
                if self._on_event is not None:
                    self._on_event(item)
            else:
                self._answer(item)
        if self._connection.closed:
            self._end()

    def _listen(self) -> None:
        """Begin to count the seconds without an answer, if one is due."""
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        if self._on_silence is not None and self._open and not self.closed:
            self._silence = self._loop.call_later(self.patience, self._on_silence)

    def _answer(self, reply: Reply) -> None:
        self._open.discard(reply.id)
        self._listen()
        future = self._waiting.pop(reply.id, None)
        if future is None or future.done():
            reply.close_fds()  # nobody wants it any more
        else:
            future.set_result(reply)

    def _watch_writing(self) -> None:
        if self._connection.pending and not self._writing:
            self._writing = True
            self._loop.add_writer(self._fd, self._writable)

    def _writable(self) -> None:
        try:
            self._connection.flush()
        except CortenError:
            self._end()
            return
        if not self._connection.pending:
            self._writing = False
            self._loop.remove_writer(self._fd)

    def _end(self, error: CortenError | None = None) -> None:
        if self.closed:
            return
        self.closed = True
        self._listen()
        self._loop.remove_reader(self._fd)
        if self._writing:
            self._loop.remove_writer(self._fd)
        self._connection.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error or self._gone())
                future.exception()  # seen: the one who waited may be gone
        self._waiting.clear()
        if self._on_close is not None:
            self._on_close()


class ProcessWatch:
    """Calls back once when a process ends; owns the pidfd."""

    def __init__(self, pidfd: int, ended: Callable[[], None]) -> None:
        self._fd = pidfd
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(pidfd, self._readable)

    def close(self) -> None:
        """Stop watching. Idempotent."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def kill(self) -> None:
        """Send SIGKILL."""
        if self._fd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, signal.SIGKILL)

    def _readable(self) -> None:
        self.close()
        self._ended()
