"""What the daemon does to a layer that a worker has unpacked, by descriptors alone.

Overlayfs's own attributes need CAP_SYS_ADMIN, which the worker gave up; the attributes of
directories that the layer did not list are those of the layers below, which it never saw.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from errno import ELOOP, ENODATA, ENOENT, ENOTDIR, ENOTSUP

from corten.kernel import files

_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_STAY = files.RESOLVE_BENEATH | files.RESOLVE_NO_SYMLINKS
_ABSENT = (ENOENT, ENOTDIR, ELOOP)
_OPAQUE = "trusted.overlay.opaque"


def mark_opaque(layer: str, paths: Sequence[str]) -> None:
    """Hide what the layers below have in these directories. Blocks."""
    root = os.open(layer, _LIST | os.O_CLOEXEC)
    try:
        for path in paths:
            fd = _open(root, path)
            if fd is not None:
                try:
                    os.setxattr(fd, _OPAQUE, b"y")
                finally:
                    os.close(fd)
    finally:
        os.close(root)


def inherit(layer: str, paths: Sequence[str], below: Sequence[str]) -> None:
    """Give directories that the layer did not list the attributes of the topmost layer that
    has them. Blocks.

    Arguments:
        below: directories of the layers below, topmost first.
    """
    lower = [os.open(path, _LIST | os.O_CLOEXEC) for path in below]
    root = os.open(layer, _LIST | os.O_CLOEXEC)
    try:
        # Deepest first: setting a child's attributes changes no parent's, times included.
        for path in sorted(paths, key=len, reverse=True):
            _inherit_one(root, path, lower)
    finally:
        for fd in (root, *lower):
            os.close(fd)


def _inherit_one(root: int, path: str, lower: Sequence[int]) -> None:
    target = _open(root, path)
    if target is None:
        return
    try:
        for layer in lower:
            source = _open(layer, path)
            if source is not None:
                try:
                    _copy_attributes(source, target)
                finally:
                    os.close(source)
                return
    finally:
        os.close(target)


def _copy_attributes(source: int, target: int) -> None:
    stat = os.fstat(source)
    os.fchown(target, stat.st_uid, stat.st_gid)
    os.fchmod(target, stat.st_mode & 0o7777)
    for name in os.listxattr(source):
        if name.startswith("trusted.overlay."):
            continue
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as error:
            if error.errno not in (ENOTSUP, ENODATA):
                raise
    os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _open(root: int, path: str) -> int | None:
    try:
        return files.openat2(root, path or ".", _LIST, resolve=_STAY)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise
