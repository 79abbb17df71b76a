"""The launcher of an earlier daemon must be gone before we look at what it left: as long as
it lives it may still fork a monitor for a request that it had read. Blocking."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import time

from corten.errors import Unavailable

_log = logging.getLogger(__name__)
_PATIENCE = 5.0  # seconds until it is killed: a request under way takes milliseconds
_AFTER_KILL = 10.0
_POLL = 0.005


def await_end(state_dir: str) -> None:
    """Wait until no launcher of this state directory lives.

    Raises:
        Unavailable: it does not end, not even when killed.
    """
    try:
        fd = os.open(f"{state_dir}/launcher.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if _locked_within(fd, _PATIENCE):
            return
        _kill(fd)
        if not _locked_within(fd, _AFTER_KILL):
            raise Unavailable("the launcher of an earlier daemon does not end", path=state_dir)
    finally:
        os.close(fd)  # releases the lock for our own launcher


def _locked_within(fd: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(_POLL)
        else:
            return True


def _kill(fd: int) -> None:
    """By pidfd, and only while the lock proves that the file's number is still its holder's."""
    text = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
    if not text.isdecimal():
        return
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(int(text))
        try:
            if not _locked_within(fd, 0.0):
                _log.warning("the launcher %s of an earlier daemon does not end: killed", text)
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
