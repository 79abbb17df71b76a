"""A process of this host as the Runtime protocol's handle: a pidfd and its exit status."""

from __future__ import annotations

import os

from corten.errors import NotFound
from corten.kernel.process import pidfd_send_signal


class LocalProcess:
    """A child of ours (a subreaper's orphan is one); takes the descriptors over."""

    __slots__ = ("_exit", "_pidfd", "console_fd", "pid")

    def __init__(self, pid: int, pidfd: int, console_fd: int = -1) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self.console_fd = console_fd
        self._exit: tuple[int, int] | None = None

    def fileno(self) -> int:
        """The pidfd."""
        return self._pidfd

    def reap(self) -> tuple[int, int] | None:
        """See ``runtime.Process``."""
        if self._exit is None:
            self._exit = self._wait()
        return self._exit

    def _wait(self) -> tuple[int, int] | None:
        try:
            info = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:  # somebody else's: its status is lost
            return 255, 0
        if info is None or info.si_pid == 0:
            return None
        return _exit_of(info.si_code, info.si_status)

    def reaped(self, code: int, status: int) -> None:
        """See ``runtime.Process``."""
        self._exit = _exit_of(code, status)

    def signal(self, number: int) -> None:
        """Send a signal; NotFound when it has ended."""
        try:
            pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            raise NotFound("the process has ended", step="kill") from None

    def close(self) -> None:
        """Close the pidfd; the console is whoever's took it."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def _exit_of(code: int, status: int) -> tuple[int, int]:
    if code == os.CLD_EXITED:
        return status, 0
    return 128 + status, status
