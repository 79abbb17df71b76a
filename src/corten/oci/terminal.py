"""A terminal of ours and a container's, joined while we stay with a process. Imported where there
is one: ``termios`` is a library of its own."""

from __future__ import annotations

import _signal
import fcntl
import posix
import select
import termios

from corten.kernel import pty
from corten.kernel.process import wait_pidfd
from corten.oci.foreground import forward

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CHUNK = 32768


def plain_newlines(console: int) -> None:
    """Lines end as the program wrote them, as with runc: a file or a pipe gets no carriage
    returns, a terminal of ours adds its own. Call it before the program runs."""
    modes = termios.tcgetattr(console)
    modes[1] &= ~termios.ONLCR
    termios.tcsetattr(console, termios.TCSANOW, modes)


def copy_size(console: int) -> None:
    """Give a container's terminal the size of ours, if we have one."""
    for fd in (0, 1):
        try:
            pty.set_size(console, *pty.get_size(fd))
            return
        except OSError:
            continue


class Terminal:
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
        copy_size(self.console)
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
        raw[2] = raw[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        raw[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
        termios.tcsetattr(0, termios.TCSADRAIN, raw)

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
                copy_size(self.console)
            elif number != _signal.SIGCHLD:
                forward(self.pidfd, number)

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
