"""A connection that can stop being HTTP: aiohttp's, with a cut where a raw stream begins."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from corten.dockerapi.wire import Splitter

BUFFER = 64 << 10  # bytes held in each direction of a raw stream

_RAW_TARGET = re.compile(
    r"(?:/v[\d.]+)?/(?:containers/[^/?]+/attach|exec/[^/?]+/start)(?:\?.*)?", re.DOTALL
)


def opens_stream(method: str, target: str) -> bool:
    """Whether a request's connection may become a raw stream."""
    return method == "POST" and _RAW_TARGET.fullmatch(target) is not None


class Connection(RequestHandler):
    """One client's connection; requests go to aiohttp until :meth:`take_over`."""

    __slots__ = ("_ended", "_held", "_splitter", "_tail")

    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._splitter = Splitter(opens_stream)
        self._tail = bytearray()  # what came behind the request that opens a stream
        self._held = False
        self._ended = False

    def data_received(self, data: bytes) -> None:
        cut = self._splitter.feed(data)
        if cut == len(data):
            super().data_received(data)
            return
        if cut:
            super().data_received(data[:cut])
        self._tail += data[cut:]
        if len(self._tail) >= BUFFER and self.transport is not None:
            self._held = True
            self.transport.pause_reading()

    def eof_received(self) -> bool | None:  # type: ignore[override]  # asyncio allows an answer
        if self._splitter.raw:  # half-closed: its standard input has ended, no more than that
            self._ended = True
            return True
        super().eof_received()
        return None

    @property
    def ends_http(self) -> bool:
        """Whether the request was one that opens a stream, so that no other follows it."""
        return self._splitter.raw

    def take_over(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """End HTTP here: the raw stream, beginning with what the client has sent already.

        The caller writes the response's head itself, and closes the writer at the end.
        Raises ConnectionError where the client is gone.
        """
        transport = self.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        self.keep_alive(False)
        reader = asyncio.StreamReader(limit=BUFFER)
        protocol = _RawProtocol(reader, self)
        protocol.connection_made(transport)
        transport.set_protocol(protocol)
        reader.feed_data(bytes(self._tail))
        self._tail.clear()
        if self._ended:
            reader.feed_eof()
        elif self._held:
            transport.resume_reading()
        writer = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
        return reader, writer


class _RawProtocol(asyncio.StreamReaderProtocol):
    """The stream's protocol; tells the connection it came from when it is over."""

    def __init__(self, reader: asyncio.StreamReader, origin: Connection) -> None:
        super().__init__(reader)
        self._origin = origin

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc if isinstance(exc, Exception) else None)
        self._origin.connection_lost(exc)


class ConnectionServer(web.Server):
    """aiohttp's low-level server, making connections of the kind above.

    A handler whose client goes away is cancelled: what it awaits of the engine goes on.
    """

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        super().__init__(handler, handler_cancellation=True, access_log=None)

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)
