"""Terminals in a given devpts instance."""

from __future__ import annotations

import fcntl
import posix
from _struct import pack, unpack

_TIOCSCTTY = 0x540E
_TIOCGWINSZ = 0x5413
_TIOCSWINSZ = 0x5414
_TIOCGPTN = 0x80045430
_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441


def open_master(dirfd: int | None = None, path: str = "/dev/ptmx") -> int:
    """A new terminal's master side, unlocked; ``path`` may be ``ptmx`` below a devpts ``dirfd``."""
    fd = posix.open(path, posix.O_RDWR | posix.O_NOCTTY | posix.O_CLOEXEC, dir_fd=dirfd)
    try:
        unlock(fd)
    except BaseException:
        posix.close(fd)
        raise
    return fd


def unlock(master: int) -> None:
    """Let the other side of a new terminal be opened."""
    fcntl.ioctl(master, _TIOCSPTLCK, pack("i", 0))


def open_peer(master: int) -> int:
    """The other side of ``master``, whatever is mounted where (close-on-exec, not controlling)."""
    return fcntl.ioctl(master, _TIOCGPTPEER, posix.O_RDWR | posix.O_NOCTTY | posix.O_CLOEXEC)


def number(master: int) -> int:
    """The N of ``/dev/pts/N`` in the terminal's own devpts instance."""
    value: int = unpack("i", fcntl.ioctl(master, _TIOCGPTN, pack("i", 0)))[0]
    return value


def make_controlling(fd: int) -> None:
    """Make ``fd`` the controlling terminal of the caller, who leads a session without one."""
    fcntl.ioctl(fd, _TIOCSCTTY, 0)


def set_size(fd: int, rows: int, columns: int) -> None:
    """Set a terminal's size in characters; its foreground group gets SIGWINCH."""
    fcntl.ioctl(fd, _TIOCSWINSZ, pack("4H", rows, columns, 0, 0))


def get_size(fd: int) -> tuple[int, int]:
    """``(rows, columns)``."""
    rows, columns, _, _ = unpack("4H", fcntl.ioctl(fd, _TIOCGWINSZ, bytes(8)))
    return rows, columns
