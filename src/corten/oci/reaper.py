"""The first process of a container with an init: it passes signals on to the program, reaps
whoever is orphaned, and ends as the program did.

It is what would have become the program: the fork of the warm process goes on in PID 1, its
child executes. It holds no descriptor but the program's streams, none of the container's
privileges but the one to signal, and can't be traced.
"""

from __future__ import annotations

import _signal
import posix

from corten.kernel import creds
from corten.kernel.process import clone3, close_range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_NAME = "corten-init"
_SILENT = (_signal.SIGCHLD, _signal.SIGTTIN, _signal.SIGTTOU)  # ours alone


def stay_behind() -> None:
    """Returns in the child, which goes on to the program."""
    every = _signal.valid_signals()
    # Before there is a child: nothing that is sent meanwhile is lost.
    _signal.pthread_sigmask(_signal.SIG_SETMASK, every)
    child, _pidfd = clone3()
    if child:
        _reap(child, every)
    _take_foreground()
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def _take_foreground() -> None:
    """A process group of its own, and of a terminal the one in front: Ctrl-C is the program's."""
    posix.setpgid(0, 0)
    if posix.isatty(0):
        try:
            posix.tcsetpgrp(0, posix.getpid())
        except OSError:
            return  # not our controlling terminal


def _reap(child: int, every: set[int]) -> NoReturn:
    try:
        creds.set_dumpable(False)
        creds.set_name(_NAME)
        close_range(3)
        creds.set_child_subreaper(True)  # where the PID namespace is somebody else's
        creds.set_no_new_privs()
        kill = 1 << creds.CAPABILITY_NUMBERS["CAP_KILL"]
        _, permitted, _ = creds.capget()
        creds.capset(kill & permitted, kill & permitted, 0)
        while True:
            _handle(_signal.sigwait(every), child)
    finally:
        posix._exit(1)


def _handle(number: int, child: int) -> None:
    if number == _signal.SIGCHLD:
        _reap_all(child)
    elif number not in _SILENT:
        try:
            posix.kill(child, number)
        except OSError:
            return  # it has ended, or is somebody's whom we may not signal


def _reap_all(child: int) -> None:
    """Ends with the program."""
    while True:
        try:
            pid, status = posix.waitpid(-1, posix.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid == child:
            code = posix.waitstatus_to_exitcode(status)
            posix._exit(code if code >= 0 else 128 - code)
