"""Many small pieces to one client: written together as soon as the client takes them."""

from __future__ import annotations

import asyncio
from types import TracebackType

from aiohttp import web

LIMIT = 64 << 10  # bytes that wait for a slow client before the producer has to


class Batch:
    """Used as ``async with``; leaving it in peace writes what is left.

    Arguments:
        response: prepared; its end is the caller's.
    """

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response
        self._pending = bytearray()
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._done = False
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Batch:
        self._writer = asyncio.create_task(self._write())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        writer = self._writer
        assert writer is not None
        self._done = True
        self._filled.set()
        if kind is not None:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        else:
            await writer

    async def add(self, data: bytes) -> None:
        """Queue ``data``; waits while too much is queued. Raises what writing raised."""
        self._pending += data
        self._filled.set()
        while len(self._pending) >= LIMIT:
            self._drained.clear()
            await self._drained.wait()
        if self._writer is not None and self._writer.done():
            self._writer.result()
            raise ConnectionResetError("the client is gone")

    async def _write(self) -> None:
        try:
            while not self._done or self._pending:
                await self._filled.wait()
                self._filled.clear()
                if self._pending:
                    data = bytes(self._pending)
                    self._pending.clear()
                    await self._response.write(data)
                self._drained.set()
        finally:
            self._pending.clear()
            self._drained.set()
