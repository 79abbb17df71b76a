"""Staying with a process: forwarded signals, the exit code."""

from __future__ import annotations

import _signal
import posix

from corten.kernel import creds
from corten.kernel.process import pidfd_send_signal, wait_pidfd

# Not forwarded: what concerns us alone, and what can't be caught.
_OWN = (
    _signal.SIGCHLD,
    _signal.SIGPIPE,
    _signal.SIGURG,
    _signal.SIGKILL,
    _signal.SIGSTOP,
    _signal.SIGTTIN,
    _signal.SIGTTOU,
)


class Foreground:
    """From its construction on signals are kept for :meth:`wait`; none is lost meanwhile."""

    def __init__(self, *, subreaper: bool = False) -> None:
        self._signals = {s for s in _signal.valid_signals() if s not in _OWN}
        self._signals.add(_signal.SIGCHLD)
        _signal.pthread_sigmask(_signal.SIG_BLOCK, self._signals)
        if subreaper:
            creds.set_child_subreaper(True)

    @staticmethod
    def prepare(console: int) -> None:
        """What the terminal of a process needs before its program runs; -1 without one."""
        if console >= 0:
            from corten.oci.terminal import copy_size, plain_newlines

            plain_newlines(console)
            copy_size(console)

    def wait(self, pidfd: int, console: int = -1) -> int:
        """Until the process of ``pidfd`` ends; its exit code.

        Arguments:
            console: master of its terminal, which is joined with ours; -1 without.
        """
        if console >= 0:
            from corten.oci.terminal import Terminal

            return Terminal(self._signals, pidfd, console).run()
        while (code := wait_pidfd(pidfd, block=False)) is None:
            number = _signal.sigwaitinfo(self._signals).si_signo
            if number != _signal.SIGCHLD:
                forward(pidfd, number)
            _reap_others(pidfd)
        return code


def forward(pidfd: int, number: int) -> None:
    """Pass a signal on."""
    try:
        pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass  # it has just ended


def _reap_others(pidfd: int) -> None:
    """Orphans of the container that became our children; never the one that is waited for."""
    while True:
        try:
            found = posix.waitid(posix.P_ALL, 0, posix.WEXITED | posix.WNOHANG | posix.WNOWAIT)
            if found is None or found.si_pid == 0:
                return
            if wait_pidfd(pidfd, block=False, reap=False) is not None:
                return
            posix.waitpid(found.si_pid, posix.WNOHANG)
        except ChildProcessError:
            return
