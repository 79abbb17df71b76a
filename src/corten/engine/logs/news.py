"""Waiting until a log has more, or its container has ended."""

from __future__ import annotations

import asyncio
import contextlib
import os

from corten.launch import logwatch

_GATHER = 0.005  # seconds that pass between two looks: who writes line by line is read in pieces
_POLL = 0.1  # seconds between looks where the kernel can't tell us


class News:
    """Of one log that is followed; close it. Needs a running loop."""

    def __init__(self, path: str, ended: asyncio.Event) -> None:
        """
        Arguments:
            path: of the current file.
            ended: set when nothing more will come.
        """
        self._loop = asyncio.get_running_loop()
        self._some = asyncio.Event()
        self._last = 0.0
        self._fd = -1
        with contextlib.suppress(OSError):  # many follow, or the directory is gone: we look
            self._fd = logwatch.watch(path)
            self._loop.add_reader(self._fd, self._told)
        self._end = asyncio.create_task(self._await_end(ended), name="log-end")

    async def _await_end(self, ended: asyncio.Event) -> None:
        await ended.wait()
        self._some.set()

    def _told(self) -> None:
        logwatch.drain(self._fd)
        self._some.set()

    async def wait(self, timeout: float | None) -> None:
        """Until there may be more, at most ``timeout`` seconds (None: as long as it takes)."""
        if self._fd < 0:
            timeout = _POLL if timeout is None else min(timeout, _POLL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._some.wait()
                await asyncio.sleep(self._last + _GATHER - self._loop.time())
        if not self._end.done():
            self._some.clear()
        self._last = self._loop.time()

    def close(self) -> None:
        """Let go. Idempotent."""
        self._end.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
