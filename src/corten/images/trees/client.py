"""The daemon's side of the program that touches containers' files."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from corten.errors import CortenError, Internal, from_dict
from corten.images.unpack.client import program_paths
from corten.spec import jsonlite

_BOOT = "import sys; sys.path[:0] = {paths!r}; from corten.images.trees.worker import main; main()"
_LINE = 1 << 24  # the answer lists an archive's members: bytes of one line
_GRACE = 5.0  # seconds after SIGKILL; a process in an uninterruptible wait is left to the kernel


class Worker:
    """One run of the program. Use as ``async with``: at the end the process is gone."""

    def __init__(
        self, op: str, job: dict[str, Any], *, data: socket.socket | None = None, out: int = -1
    ) -> None:
        """Arguments:
        op, job: see :mod:`corten.images.trees.worker`.
        data: the program's end of the connection that carries the archive; closed here.
        out: a file that the program writes; stays the caller's.
        """
        self._data = data
        self._pass = [out] if out >= 0 else []
        self._job = {**job, "op": op, "parent": os.getpid()}
        if data is not None:
            self._pass.append(data.fileno())
            self._job["in" if op in _READERS else "out"] = data.fileno()
        if out >= 0:
            self._job["out"] = out
        self._process: asyncio.subprocess.Process | None = None
        self._answered = False

    async def __aenter__(self) -> Worker:
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-IS",
                "-c",
                _BOOT.format(paths=program_paths()),
                jsonlite.dumps(self._job),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=self._pass,
                limit=_LINE,
                env={},
                cwd="/",
            )
        finally:
            if self._data is not None:
                self._data.close()
        return self

    async def __aexit__(self, *_: object) -> None:
        process = self._process
        assert process is not None
        # One that has answered ends by itself, and signalling it would race with its end.
        for answered in (True, False):
            if answered and not self._answered:
                continue
            if not answered and process.returncode is None:
                try:
                    process.kill()
                except ProcessLookupError:
                    pass
            try:
                async with asyncio.timeout(_GRACE):
                    await asyncio.shield(process.wait())
                return
            except TimeoutError:
                continue

    async def item(self) -> Any:
        """What the program says first. Raises its error instead."""
        message = await self._message()
        return message.get("item", message.get("ok"))

    async def result(self, on_item: Callable[[Any], None] | None = None) -> Any:
        """Wait for the end.

        Raises:
            CortenError: what went wrong in the program; Internal if it died.
        """
        while True:
            message = await self._message()
            if "ok" in message:
                return message["ok"]
            if on_item is not None:
                on_item(message["item"])

    async def _message(self) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise await self._died()
        message: dict[str, Any] = jsonlite.loads(line, what="the worker's answer")
        self._answered = "item" not in message
        if "error" in message:
            raise from_dict(message["error"])
        return message

    async def _died(self) -> CortenError:
        assert self._process is not None and self._process.stderr is not None
        noise = (await self._process.stderr.read()).decode("utf-8", "replace").strip()
        code = await self._process.wait()
        last = noise.splitlines()[-1] if noise else "it said nothing"
        return Internal(f"the worker for files ended with {code}: {last[:300]}", step="files")


_READERS = ("write", "spool", "import")


def connection() -> tuple[socket.socket, socket.socket]:
    """Two ends of what carries an archive: the client's, and the program's."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
