"""The few path functions that the runtime needs, without ``os``.

``os`` costs a bare interpreter (``-S``) 2 ms, nearly all of it for ``_collections_abc``; the
built-in ``posix`` has every system call that ``os`` has.
"""

from __future__ import annotations

import posix

_TYPE = 0o170000
_DIRECTORY = 0o040000
_LINK = 0o120000


def fsencode(path: str | bytes) -> bytes:
    """A path's bytes; file names that are no UTF-8 survive the way through ``str``."""
    return path if isinstance(path, bytes) else path.encode("utf-8", "surrogateescape")


def fsdecode(path: str | bytes) -> str:
    """Inverse of :func:`fsencode`."""
    return path if isinstance(path, str) else path.decode("utf-8", "surrogateescape")


def exists(path: str) -> bool:
    """Whether something is there, links followed."""
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


def is_directory(path: str) -> bool:
    """Whether a directory is there, links followed."""
    try:
        return posix.stat(path).st_mode & _TYPE == _DIRECTORY
    except OSError:
        return False


def is_link(path: str) -> bool:
    """Whether a symbolic link is there."""
    try:
        return posix.lstat(path).st_mode & _TYPE == _LINK
    except OSError:
        return False


def parent(path: str) -> str:
    """The path without its last part; ``/`` of ``/a``, ``""`` of ``a``."""
    head, _, _ = path.rpartition("/")
    return head or ("/" if path.startswith("/") else "")


def name(path: str) -> str:
    """The last part of a path."""
    return path.rpartition("/")[2]


def make_directories(path: str, mode: int = 0o777) -> None:
    """Make a directory and the missing ones above it."""
    try:
        posix.mkdir(path, mode)
    except FileNotFoundError:
        make_directories(parent(path), mode)
        posix.mkdir(path, mode)
    except FileExistsError:
        if not is_directory(path):
            raise
