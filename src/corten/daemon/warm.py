"""The warm command line: a program of its own that the daemon keeps running."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys

_log = logging.getLogger(__name__)
_BACKOFF = (0.0, 0.5, 2.0, 10.0, 60.0)  # seconds before the n-th start in a row
_STEADY = 30.0  # a program that lived so long (seconds) was no failed start
_PROGRAM = "import sys; sys.path[:0] = {path!r}; from corten.cli.warm import main; main()"


class WarmCli:
    """Starts it, and again when it dies. It ends by itself when this process is gone: its
    standard input is a pipe that only we hold open."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._task: asyncio.Task[None] | None = None
        self._pid = 0

    def start(self) -> None:
        """Begin to keep it running."""
        self._task = asyncio.create_task(self._keep(), name="warm-cli")

    async def close(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_BACKOFF[min(failures, len(_BACKOFF) - 1)])
            begun = loop.time()
            await self._run_one()
            failures = 0 if loop.time() - begun > _STEADY else failures + 1
            _log.warning("the warm command line has ended; starting another")

    async def _run_one(self) -> None:
        reading, writing = os.pipe()
        try:
            pid = self._spawn(reading)
        finally:
            os.close(reading)
        pidfd = os.pidfd_open(pid)
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(pidfd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(pidfd)
            os.close(writing)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGTERM)
            _reap(pidfd)
            os.close(pidfd)

    def _spawn(self, reading: int) -> int:
        path = [entry for entry in sys.path if os.path.isabs(entry) and os.path.exists(entry)]
        argv = [sys.executable, "-IS", "-c", _PROGRAM.format(path=path), "--state", self._state]
        actions = [
            (os.POSIX_SPAWN_DUP2, reading, 0),
            (os.POSIX_SPAWN_DUP2, 2, 1),
        ]
        return os.posix_spawn(sys.executable, argv, dict(os.environ), file_actions=actions)


def _reap(pidfd: int) -> None:
    """One that takes a moment to end is reaped by whoever inherits it."""
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
