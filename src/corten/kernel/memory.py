"""The pages of this process, madvise(2)."""

from __future__ import annotations

import posix

from corten.kernel._call import call

_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE, Linux 5.14


def own_pages() -> None:
    """Copy every page that is shared with our parent since the fork and may be written: all at
    once, where a write to each would cost a fault of its own. Nothing on an older kernel."""
    fd = posix.open("/proc/self/maps", posix.O_RDONLY | posix.O_CLOEXEC)
    text = b""
    try:
        while piece := posix.read(fd, 1 << 16):
            text += piece
    finally:
        posix.close(fd)
    for line in text.splitlines():
        place, rights, *_ = line.split(None, 2)
        if rights == b"rw-p":
            begin, end = [int(number, 16) for number in place.split(b"-")]
            try:
                call("madvise", None, begin, end - begin, _POPULATE_WRITE)
            except OSError:
                continue  # a part of it has no memory behind it, or the kernel is older
