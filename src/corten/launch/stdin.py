"""What is typed, on its way to a process: a pipe or a terminal's master, never waited for."""

from __future__ import annotations

import os

from corten.launch.loop import WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from corten.launch.loop import Loop

_LIMIT = 64 << 10


class Input:
    """The writing side of a process's stdin. ``on_full`` is called when more than 64 KiB
    wait (True), and when they have been taken (False)."""

    __slots__ = ("_closing", "_fd", "_full", "_gone", "_loop", "_pending", "on_full")

    def __init__(self, loop: Loop, fd: int = -1) -> None:
        """``fd``: -1 until :meth:`open`, which a terminal needs: it is made with the process."""
        self._loop = loop
        self._fd = -1
        self._pending = b""
        self._full = False
        self._closing = False
        self._gone = False
        self.on_full: Callable[[bool], None] | None = None
        if fd >= 0:
            self.open(fd)

    def open(self, fd: int) -> None:
        """Take the descriptor over, and write what has been typed ahead."""
        os.set_blocking(fd, False)
        self._fd = fd
        self._flush(0)

    def write(self, data: bytes) -> None:
        """Queue and write as far as it goes; forgotten once the process has closed it."""
        if self._gone or self._closing:
            return
        self._pending = self._pending + data if self._pending else data
        if self._fd >= 0:
            self._flush(0)
        self._tell()

    def end(self) -> None:
        """End of file for the process, behind what was typed."""
        self._closing = True
        if self._fd >= 0:
            self._flush(0)

    def close(self) -> None:
        """Close at once. Idempotent."""
        self._gone = True
        self._pending = b""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._loop.close(fd)

    @property
    def idle(self) -> bool:
        """Nothing waits to be written."""
        return not self._pending and not self._closing

    def fileno(self) -> int:
        """The writing side, -1 once it is closed."""
        return self._fd

    def _flush(self, _events: int) -> None:
        try:
            while self._pending:
                done = os.write(self._fd, self._pending)
                self._pending = self._pending[done:]
        except BlockingIOError:
            self._loop.watch(self._fd, WRITE, self._flush)
        except OSError:  # EPIPE: the process does not read any more; EIO: nor its terminal
            self.close()
        else:
            self._loop.forget(self._fd)
            if self._closing:
                self.close()
        self._tell()

    def _tell(self) -> None:
        # A process that closed its stdin: attachers are not read any more, they would only
        # type for nobody (and see the end when the process ends).
        full = len(self._pending) > _LIMIT or self._gone
        if full != self._full:
            self._full = full
            if self.on_full is not None:
                self.on_full(full)

    @property
    def full(self) -> bool:
        """Attachers should not be read now."""
        return self._full
