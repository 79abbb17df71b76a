"""To be told that a log was written to, instead of looking: for the engine, which has no system
calls of its own."""

from __future__ import annotations

import os

from corten.kernel.files import IN_CREATE, IN_MODIFY, IN_MOVED_TO, inotify

_READ = 64 << 10


def watch(path: str) -> int:
    """A non-blocking descriptor that becomes readable when a file in the log's directory is
    written to, made or renamed: so a rotation is noticed as well. The caller closes it.

    Raises:
        OSError: there is no such directory, or inotify instances are used up (inotify(7)).
    """
    return inotify(os.path.dirname(path), IN_MODIFY | IN_CREATE | IN_MOVED_TO)


def drain(fd: int) -> None:
    """Forget what was told: the files say what there is."""
    try:
        while len(os.read(fd, _READ)) > _READ // 2:
            continue
    except BlockingIOError:
        return
