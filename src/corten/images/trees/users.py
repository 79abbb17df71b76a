"""A user of a container's, as numbers: from its own ``/etc/passwd`` and ``/etc/group``."""

from __future__ import annotations

import os

from corten.errors import InvalidArgument
from corten.kernel import files

_LIMIT = 1 << 20


def find(root: int, text: str) -> tuple[int, int]:
    """User and group of ``USER[:GROUP]``, each a name or a number.

    Raises:
        InvalidArgument: there is no such user or group.
    """
    user, _, group = text.partition(":")
    uid, gid = _user(root, user)
    if group:
        gid = _group(root, group)
    return uid, gid


def _user(root: int, name: str) -> tuple[int, int]:
    for row in _rows(root, b"etc/passwd"):
        if len(row) >= 4 and name.encode() in (row[0], row[2]):
            return _number(row[2]), _number(row[3])
    if name.isdecimal():
        return int(name), 0
    raise InvalidArgument(f"unable to find user {name}: no matching entries in passwd file")


def _group(root: int, name: str) -> int:
    for row in _rows(root, b"etc/group"):
        if len(row) >= 3 and name.encode() in (row[0], row[2]):
            return _number(row[2])
    if name.isdecimal():
        return int(name)
    raise InvalidArgument(f"unable to find group {name}: no matching entries in group file")


def _number(text: bytes) -> int:
    if not text.isdigit() or int(text) >= 1 << 32:
        raise InvalidArgument("the container's passwd file is damaged")
    return int(text)


def _rows(root: int, path: bytes) -> list[list[bytes]]:
    flags = os.O_RDONLY | os.O_NONBLOCK
    try:
        fd = files.openat2(root, path, flags)
    except OSError:
        return []
    try:
        data = os.read(fd, _LIMIT)
    except OSError:
        return []
    finally:
        os.close(fd)
    return [line.split(b":") for line in data.split(b"\n")]
