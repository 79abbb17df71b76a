"""One client's connection: frames in and out, one task per request that takes time.

asyncio's transports can't pass descriptors, so the socket is driven directly: bytes go
out at once where the kernel takes them and wait in a queue where it does not.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from corten.api.operations import Operation, parse
from corten.engine.contract import Engine
from corten.errors import Cancelled, CortenError, Internal, exhausted
from corten.spec import frames

log = logging.getLogger(__name__)

_READ = 256 << 10
_HIGH_WATER = 256 << 10  # a stream waits while more than this is queued
_encode = msgspec.json.Encoder().encode


class Call:
    """What the handler of one request answers through."""

    __slots__ = ("_connection", "number")

    def __init__(self, connection: Connection, number: int) -> None:
        self._connection = connection
        self.number = number

    def item(self, value: Any, sockets: Sequence[socket.socket] = ()) -> None:
        """Send one item; the sockets become the client's and are closed here."""
        self._connection.send(frames.ITEM, self.number, _encode(value), sockets)

    def lines(self, payload: bytes) -> None:
        """Send records of a log, as :func:`corten.spec.frames.encode_line` made them."""
        self._connection.send(frames.LINES, self.number, payload)

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was sent."""
        await self._connection.drain()


class Connection:
    """Owns ``sock`` until :meth:`close` or the peer's end of file."""

    def __init__(
        self, engine: Engine, sock: socket.socket, on_close: Callable[[Connection], object]
    ) -> None:
        self._engine = engine
        self._sock = sock
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._reader = frames.FrameReader()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._queue: deque[tuple[memoryview, tuple[socket.socket, ...]]] = deque()
        self._queued = 0
        self._room = asyncio.Event()
        self._room.set()
        self._closing = False
        self._loop.add_reader(sock.fileno(), self._readable)

    # in --------------------------------------------------------------------------------
    def _readable(self) -> None:
        try:
            data = self._sock.recv(_READ)  # descriptors sent to us are dropped by the kernel
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._shut()
            return
        try:
            received = self._reader.feed(data)
        except CortenError as error:
            self.refuse(error)
            return
        for frame in received:
            self._dispatch(frame)

    def _dispatch(self, frame: frames.Frame) -> None:
        if frame.kind == frames.CANCEL:
            task = self._tasks.get(frame.request)
            if task is not None:
                task.cancel()
            return
        try:
            operation = parse(frame.payload)
            if operation.quick is not None:
                self._answer(frame.request, operation.quick(self._engine, operation.request))
                return
        except Exception as error:
            self._fail(frame.request, error)
            return
        task = self._loop.create_task(self._run(frame.request, operation))
        self._tasks[frame.request] = task
        task.add_done_callback(lambda done: self._ended(frame.request, done))

    def _ended(self, number: int, task: asyncio.Task[None]) -> None:
        self._tasks.pop(number, None)
        if task.cancelled():  # maybe before its first step, so not told from within
            self._fail(number, Cancelled("the request was cancelled"))

    async def _run(self, number: int, operation: Operation) -> None:
        assert operation.slow is not None
        try:
            call = Call(self, number)
            self._answer(number, await operation.slow(self._engine, operation.request, call))
        except Exception as error:
            self._fail(number, error)

    def _answer(self, number: int, value: Any) -> None:
        sockets: tuple[socket.socket, ...] = ()
        if isinstance(value, socket.socket):
            value, sockets = None, (value,)
        self.send(frames.REPLY, number, _encode(value), sockets)

    def _fail(self, number: int, error: Exception) -> None:
        if isinstance(error, OSError):
            error = exhausted(error) or error
        if not isinstance(error, CortenError):
            log.exception("a request of the native protocol failed", exc_info=error)
            error = Internal(f"{type(error).__name__}: {error}", hint="see the daemon's log")
        self.send(frames.ERROR, number, _encode(error.to_dict()))

    # out -------------------------------------------------------------------------------
    def send(
        self, kind: int, number: int, payload: bytes, sockets: Sequence[socket.socket] = ()
    ) -> None:
        """Send a frame now or queue it. ``sockets`` are closed once they are on their way."""
        held = tuple(sockets)
        if self._closing:
            _close_all(held)
            return
        data = memoryview(frames.encode(kind, number, payload, len(held)))
        self._queue.append((data, held))
        self._queued += len(data)
        if len(self._queue) == 1:
            self._flush()
        if self._queued > _HIGH_WATER:
            self._room.clear()

    def _flush(self) -> None:
        while self._queue:
            data, sockets = self._queue[0]
            try:
                sent = self._push(data, sockets)
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._sock.fileno(), self._writable)
                return
            except OSError:
                self._shut()
                return
            _close_all(sockets)
            self._queued -= sent
            if sent < len(data):
                self._queue[0] = (data[sent:], ())
            else:
                self._queue.popleft()
        if self._queued <= _HIGH_WATER:
            self._room.set()

    def _push(self, data: memoryview, sockets: tuple[socket.socket, ...]) -> int:
        if not sockets:
            return self._sock.send(data)
        return socket.send_fds(self._sock, [data], [sock.fileno() for sock in sockets])

    def _writable(self) -> None:
        self._loop.remove_writer(self._sock.fileno())
        self._flush()
        if self._queued <= _HIGH_WATER:
            self._room.set()

    async def drain(self) -> None:
        """Wait until the queue is short. Raises Cancelled when the client is gone."""
        if not self._closing and self._room.is_set():
            return
        await self._room.wait()
        if self._closing:
            raise Cancelled("the client is gone")

    # end -------------------------------------------------------------------------------
    def refuse(self, error: CortenError) -> None:
        """Tell the client why (as the answer to request 0) and close."""
        self.send(frames.ERROR, 0, _encode(error.to_dict()))
        self._shut()

    def _shut(self) -> None:
        if self._closing:
            return
        self._closing = True
        fd = self._sock.fileno()
        self._loop.remove_reader(fd)
        self._loop.remove_writer(fd)
        self._sock.close()
        for _, sockets in self._queue:
            _close_all(sockets)
        self._queue.clear()
        self._room.set()
        for task in list(self._tasks.values()):
            task.cancel()
        self._on_close(self)

    async def close(self) -> None:
        """Close and wait for the requests' tasks to end."""
        tasks = list(self._tasks.values())
        self._shut()
        if tasks:
            await asyncio.wait(tasks)


def _close_all(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
