"""Pieces of log files: where the last lines begin, what was appended. Blocking.

A rotated log is ``PATH.N`` … ``PATH.1`` (the newest of them), then ``PATH``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

_BLOCK = 64 << 10
_PIECE = 128 << 10  # what a piece becomes (lines, records, frames) never goes back to the system


class Open:
    """An open log file and how far it was read. A rotation renames it under us: we go on
    reading the same file to its end, then open its successor."""

    __slots__ = ("fd", "identity", "offset", "path", "rest")

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = -1
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        found = os.fstat(self.fd)
        self.identity = (found.st_dev, found.st_ino)
        self.offset = 0
        self.rest = b""

    def lines(self, limit: int = _PIECE) -> list[bytes]:
        """Whole lines that were appended since the last call, about ``limit`` bytes at most.
        A line that is still being written stays for later."""
        if os.fstat(self.fd).st_size < self.offset:
            # Truncated: a log of a single file begins anew.
            self.offset, self.rest = 0, b""
        data = os.pread(self.fd, limit, self.offset)
        if not data:
            return []
        self.offset += len(data)
        *whole, self.rest = (self.rest + data).split(b"\n")
        return [line + b"\n" for line in whole]

    def replaced(self) -> bool:
        """Whether the path leads to another file now."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) != self.identity

    def __del__(self) -> None:
        """A read whose caller went away ends later, in its thread: nobody else gets what it
        has opened."""
        self.close()

    def close(self) -> None:
        """Close it. Idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def open_all(path: str) -> list[Open]:
    """The log's files, oldest first; a rotation meanwhile neither doubles nor loses one."""
    found: dict[tuple[int, int], Open] = {}
    # Newest first: a file that is renamed while we look is met a second time, by its identity.
    for candidate in _newest_first(path):
        try:
            one = Open(candidate)
        except FileNotFoundError:
            continue
        if one.identity in found:
            one.close()
        else:
            found[one.identity] = one
    files = list(found.values())
    files.reverse()
    if files:
        files[-1].path = path
    return files


def _newest_first(path: str) -> Iterator[str]:
    yield path
    number, missing = 1, 0
    # A rotation renames the oldest first: for a moment one number in the middle has no file.
    while missing < 2:
        if os.path.exists(f"{path}.{number}"):
            missing = 0
            yield f"{path}.{number}"
        else:
            missing += 1
        number += 1


def seek_tail(files: list[Open], count: int) -> None:
    """Set the offsets so that the last ``count`` lines remain; read from the ends.

    A part of a line counts as a line, as it is one in the file.
    """
    for file in reversed(files):
        count -= _seek_back(file, count)


def _seek_back(file: Open, count: int) -> int:
    """Move the offset to the start of the last ``count`` lines; how many there are."""
    size = os.fstat(file.fd).st_size
    position, found = size, 0
    if count <= 0:
        file.offset = size
        return 0
    while position > 0:
        step = min(_BLOCK, position)
        position -= step
        block = os.pread(file.fd, step, position)
        end = len(block)
        while (at := block.rfind(b"\n", 0, end)) >= 0:
            # The newline at the very end closes the last line; each other one precedes a line.
            if position + at + 1 < size:
                found += 1
                if found == count:
                    file.offset = position + at + 1
                    return found
            end = at
    file.offset = 0
    return found + (1 if size else 0)
