"""Staying with a process: forwarded signals, the terminal, the exit code."""

from __future__ import annotations

import _signal
import fcntl
import posix
import select
import termios

from corten.kernel import creds, pty
from corten.kernel.process import pidfd_send_signal, wait_pidfd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
_CHUNK = 32768


class Foreground:
    """From its construction on signals are kept for :meth:`wait`; none is lost meanwhile."""

    def __init__(self, *, subreaper: bool = False) -> None:
        self._signals = {s for s in _signal.valid_signals() if s not in _OWN}
        self._signals.add(_signal.SIGCHLD)
        _signal.pthread_sigmask(_signal.SIG_BLOCK, self._signals)
        if subreaper:
            creds.set_child_subreaper(True)

    def wait(self, pidfd: int, console: int = -1) -> int:
        """Until the process of ``pidfd`` ends; its exit code.

        Arguments:
            console: master of its terminal, which is joined with ours; -1 without.
        """
        if console >= 0:
            return _Terminal(self._signals, pidfd, console).run()
        while (code := wait_pidfd(pidfd, block=False)) is None:
            number = _signal.sigwaitinfo(self._signals).si_signo
            if number != _signal.SIGCHLD:
                _forward(pidfd, number)
            _reap_others(pidfd)
        return code


def _forward(pidfd: int, number: int) -> None:
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


def plain_newlines(console: int) -> None:
    """Where nobody sits at our end, lines end as the program wrote them, as with runc: a file
    or a pipe gets no carriage returns. Call it before the program runs."""
    if console < 0 or posix.isatty(0):
        return
    modes = termios.tcgetattr(console)
    modes[1] &= ~termios.ONLCR
    termios.tcsetattr(console, termios.TCSANOW, modes)


class _Terminal:
    """Our terminal and the container's, joined until the process ends."""

    def __init__(self, signals: set[int], pidfd: int, console: int) -> None:
        self.signals = signals
        self.pidfd = pidfd
        self.console = console
        self.saved: list[Any] | None = None

    def run(self) -> int:
        read, write = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
        _signal.set_wakeup_fd(write)
        for number in self.signals:
            _signal.signal(number, _noticed)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, self.signals)
        self._enter_raw()
        self._resize()
        try:
            return self._copy(read)
        finally:
            if self.saved is not None:
                termios.tcsetattr(0, termios.TCSADRAIN, self.saved)

    def _enter_raw(self) -> None:
        try:
            self.saved = termios.tcgetattr(0)
        except termios.error:
            return  # standard input is no terminal
        raw = [*self.saved[:6], list(self.saved[6])]
        raw[0] &= ~(termios.BRKINT | termios.ICRNL | termios.INPCK | termios.ISTRIP | termios.IXON)
        raw[1] &= ~termios.OPOST
        raw[2] = raw[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        raw[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
        termios.tcsetattr(0, termios.TCSADRAIN, raw)

    def _resize(self) -> None:
        for fd in (0, 1):
            try:
                pty.set_size(self.console, *pty.get_size(fd))
                return
            except OSError:
                continue

    def _copy(self, wakeup: int) -> int:
        poll = select.poll()
        for fd in (0, self.console, self.pidfd, wakeup):
            poll.register(fd, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self.pidfd:
                    self._drain()
                    code = wait_pidfd(self.pidfd)
                    return 0 if code is None else code
                if fd == wakeup:
                    self._handle(posix.read(wakeup, 64))
                elif not _move(fd, self.console if fd == 0 else 1):
                    poll.unregister(fd)

    def _handle(self, numbers: bytes) -> None:
        for number in numbers:
            if number == _signal.SIGWINCH:
                self._resize()
            elif number != _signal.SIGCHLD:
                _forward(self.pidfd, number)

    def _drain(self) -> None:
        """What the process wrote before it ended."""
        fcntl.fcntl(self.console, fcntl.F_SETFL, posix.O_NONBLOCK)
        try:
            while _move(self.console, 1):
                pass
        except BlockingIOError:
            pass  # somebody else still has the terminal open


def _move(source: int, target: int) -> bool:
    """Copy once; False at the end (EIO is a terminal's)."""
    try:
        data = posix.read(source, _CHUNK)
    except BlockingIOError:
        raise
    except OSError:
        return False
    view = memoryview(data)
    while view:
        try:
            view = view[posix.write(target, view) :]
        except BlockingIOError:
            select.select([], [target], [])
    return bool(data)


def _noticed(number: int, frame: Any) -> None:
    """The wake-up descriptor has it."""
