"""One daemon per root: a lock that the kernel releases with its process."""

from __future__ import annotations

import fcntl
import os

from corten.errors import FailedPrecondition


class RootLock:
    """An exclusive ``flock`` on a file, held until :meth:`release` or the process's end."""

    def __init__(self, path: str) -> None:
        """Take it.

        Raises:
            FailedPrecondition: another daemon has it (its pid is named).
        """
        self.path = path
        # Not inherited: a launcher or a plugin that outlives us must not keep it.
        self._fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise FailedPrecondition(
                f"another daemon (pid {holder or 'unknown'}) serves this directory",
                step="lock",
                path=os.path.dirname(path),
                hint="stop it, or give other directories with --root and --state",
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let the next daemon in."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
