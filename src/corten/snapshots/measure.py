"""What a tree takes on the disk. The tree may be in use by a hostile container meanwhile."""

from __future__ import annotations

import os

from corten.kernel import files
from corten.snapshots.protocol import Usage

_BLOCK = 512  # the unit of st_blocks, whatever the file system
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK
_STAY = files.RESOLVE_BENEATH | files.RESOLVE_NO_SYMLINKS | files.RESOLVE_NO_XDEV


def measure(root: str) -> Usage:
    """Allocated bytes and inodes below ``root``, hard links once. Blocks.

    What vanishes meanwhile or lies deeper than a path can name is not counted.
    """
    size = inodes = 0
    linked: set[int] = set()
    top = os.open(root, _DIRECTORY | os.O_CLOEXEC)
    try:
        pending = [""]
        while pending:
            path = pending.pop()
            for name, stat, is_directory in _entries(top, path):
                if not is_directory and stat.st_nlink > 1:
                    if stat.st_ino in linked:
                        continue
                    linked.add(stat.st_ino)
                size += stat.st_blocks * _BLOCK
                inodes += 1
                if is_directory:
                    pending.append(f"{path}{name}/")
    finally:
        os.close(top)
    return Usage(size=size, inodes=inodes)


def _entries(top: int, path: str) -> list[tuple[str, os.stat_result, bool]]:
    try:
        directory = files.openat2(top, path or ".", _DIRECTORY, resolve=_STAY)
    except OSError:
        return []
    try:
        with os.scandir(directory) as entries:
            return [
                (entry.name, stat, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if (stat := _stat(entry)) is not None
            ]
    finally:
        os.close(directory)


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:
        return None
