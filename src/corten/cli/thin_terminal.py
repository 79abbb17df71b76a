"""The thin client while a container's stream is attached: copies, and owns the terminal.

Nothing here may stop a background job wrongly: a terminal is read, and its mode set, only
while this process group is the terminal's foreground group (tcgetpgrp), because reading
or setting from the background earns SIGTTIN or SIGTTOU. There is no event for coming to
the foreground without having been stopped, so it is looked at twice a second.
"""

from __future__ import annotations

import _signal
import posix
import select
from _socket import MSG_DONTWAIT, SHUT_WR, socket

from corten.cli import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from corten.cli.thin import Client

_READ = 64 << 10
_RECHECK = 500  # milliseconds
_JOB_CONTROL = (
    _signal.SIGTSTP, _signal.SIGTTIN, _signal.SIGTTOU, _signal.SIGCONT, _signal.SIGWINCH,
)  # fmt: skip
# What Docker does not forward either, or what can't be caught or means a defect of ours.
_NEVER_FORWARDED = (
    _signal.SIGKILL, _signal.SIGSTOP, _signal.SIGCHLD, _signal.SIGPIPE, _signal.SIGURG,
    _signal.SIGSEGV, _signal.SIGBUS, _signal.SIGFPE, _signal.SIGILL, _signal.SIGTRAP,
    _signal.SIGABRT, _signal.SIGSYS,
)  # fmt: skip
# A shell without job control starts its background jobs with these two ignored, against the
# keys. Somebody who sends one to us means the container, so they are forwarded even then, as
# Docker does. (SIGHUP is not: nohup means it.)
_KEYS = (_signal.SIGINT, _signal.SIGQUIT)
# The other screen, without a cursor, and back (xterm's control sequences).
_ENTER, _LEAVE = b"\x1b[?1049h\x1b[?25l", b"\x1b[?25h\x1b[?1049l"


class Terminal:
    """One attached stream.

    Arguments:
        fd: the stream; owned from here on.
        flags: of :data:`corten.cli.wire.ATTACH`.
        keys: what the user types to detach; empty: can't.
    """

    def __init__(self, client: Client, fd: int, flags: int, keys: bytes) -> None:
        self._client = client
        self._stream = socket(fileno=fd)
        self._tty = bool(flags & wire.TTY)
        self._stdin = bool(flags & wire.STDIN)
        self._input_tty = self._tty and self._stdin and posix.isatty(0)
        self._proxy = bool(flags & wire.PROXY)
        self._screen = bool(flags & wire.SCREEN) and self._input_tty
        self._drawing = False  # on the other screen
        self._scanner = Scanner(keys if self._input_tty else b"")
        self._mode = RawMode(0) if self._input_tty else None
        self._reads_tty = self._stdin and posix.isatty(0)
        self._pending = b""
        self._open = True
        self._ignored: list[int] = []  # to be ignored again afterwards
        self._write: Callable[[bytes], None]
        if self._tty:
            self._write = lambda data: _write_all(1, data)
        else:
            from corten.spec.multiplex import Demultiplexer

            demultiplexer = Demultiplexer()
            self._write = lambda data: _write_pieces(demultiplexer.feed(data))

    def run(self) -> int | None:
        """Copy until the worker gives the exit code; None: it took the stream back."""
        try:
            self._client.give_back = self._give_back
            self._install()
            self._raw_if_foreground()
            return self._loop()
        finally:
            self._give_back()
            self._client.give_back = lambda: None
            self._stream.close()
            for number in self._ignored:
                _signal.signal(number, _signal.SIG_IGN)

    # the loop --------------------------------------------------------------------------
    def _loop(self) -> int | None:
        worker = self._client.worker.fileno()
        while True:
            message = self._client.pending()
            if message is not None:
                if message[0] == wire.EXIT:
                    return message[1][0]
                if message[0] == wire.RELEASE:
                    self._release()
                    return None
                continue
            ready = self._poll(worker)
            if self._open and ready.get(self._stream.fileno(), 0):
                self._on_stream(ready[self._stream.fileno()])
            if ready.get(0, 0):
                self._on_input()
            if ready.get(worker, 0) and not self._client.pump():
                return self._client.lost()

    def _poll(self, worker: int) -> dict[int, int]:
        poll = select.poll()
        poll.register(worker, select.POLLIN)
        timeout = None
        if self._open:
            events = select.POLLIN | (select.POLLOUT if self._pending else 0)
            poll.register(self._stream.fileno(), events)
            if self._stdin and not self._pending:
                if not self._reads_tty or self._raw_if_foreground():
                    poll.register(0, select.POLLIN)
                else:
                    timeout = _RECHECK
        return dict(poll.poll(timeout))

    def _on_stream(self, events: int) -> None:
        if events & select.POLLOUT:
            self._send(self._pending)
        if events & ~select.POLLOUT:
            try:
                data = self._stream.recv(_READ, MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._finish(b"e")
            elif self._drawing or not self._screen:  # the background draws nothing
                self._write(data)

    def _on_input(self) -> None:
        if self._reads_tty and not _foreground():
            return
        try:
            data = posix.read(0, _READ)
        except BlockingIOError:
            return
        except OSError:  # EIO: the terminal is gone
            data = b""
        if not data:
            self._stdin = False
            self._shutdown()
            return
        data, detached = self._scanner.feed(data)
        if data:
            self._send(data)
        if detached:
            self._finish(b"d")

    def _send(self, data: bytes) -> None:
        try:
            sent = self._stream.send(data, MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError:  # the process does not read any more; its output is still of interest
            self._stdin, sent = False, len(data)
        self._pending = data[sent:]

    def _shutdown(self) -> None:
        try:
            self._stream.shutdown(SHUT_WR)
        except OSError:
            return  # it has ended already

    def _release(self) -> None:
        """The worker takes over again: write what has come, give the terminal back."""
        while self._open:
            try:
                data = self._stream.recv(_READ, MSG_DONTWAIT)
            except OSError:
                break
            if not data:
                break
            if self._drawing or not self._screen:
                self._write(data)
        self._finish(b"r")

    def _finish(self, how: bytes) -> None:
        self._open = self._stdin = False
        self._give_back()
        self._mode = None
        self._client.send(wire.DONE, how)

    # signals and the terminal -----------------------------------------------------------
    def _install(self) -> None:
        handle = self._client.handle
        handle((_signal.SIGWINCH,), self._on_resize)
        if self._mode is not None:
            handle((_signal.SIGCONT,), self._on_continue)
            handle((_signal.SIGTSTP,), self._on_stop)
        if self._proxy:
            handled = (*_JOB_CONTROL, *_NEVER_FORWARDED)
            usual = [n for n in range(1, 32) if n not in handled]
            handle(tuple(usual), self._on_forward)
            self._ignored = [n for n in _KEYS if _signal.getsignal(n) == _signal.SIG_IGN]
            for number in self._ignored:
                _signal.signal(number, self._on_forward)

    def _on_forward(self, number: int, _frame: object) -> None:
        self._client.send(wire.SIGNAL, bytes((number,)))

    def _on_resize(self, _number: int, _frame: object) -> None:
        self._send_size()

    def _on_stop(self, number: int, _frame: object) -> None:
        """Give the terminal back, stop as if nothing had caught the signal, go on after it."""
        self._give_back()
        _signal.signal(number, _signal.SIG_DFL)
        posix.kill(posix.getpid(), number)
        _signal.signal(number, self._on_stop)
        self._raw_if_foreground()

    def _on_continue(self, _number: int, _frame: object) -> None:
        if self._mode is not None:
            self._mode.forget()  # the shell has set its own mode meanwhile
            self._drawing = False
            self._raw_if_foreground()

    def _raw_if_foreground(self) -> bool:
        """Whether the terminal may be read now; enters raw mode when that is new."""
        if not self._reads_tty:
            return False
        if not _foreground():
            return False
        if self._mode is not None and self._mode.enter():
            if self._screen:
                self._drawing = True
                _write_all(1, _ENTER)
            self._send_size()
        return True

    def _give_back(self) -> None:
        """The terminal as it was found."""
        if self._drawing:
            self._drawing = False
            try:
                _write_all(1, _LEAVE)
            except OSError:  # it is gone
                pass
        if self._mode is not None:
            self._mode.restore()

    def _send_size(self) -> None:
        for fd in (1, 0):
            try:
                size = posix.get_terminal_size(fd)
            except OSError:
                continue
            payload = size.lines.to_bytes(2, "big") + size.columns.to_bytes(2, "big")
            self._client.send(wire.RESIZE, payload)
            return


class RawMode:
    """Raw mode of a terminal, and the way back."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._saved: list[Any] | None = None

    def enter(self) -> bool:
        """Set it, as cfmakeraw(3) does; false if it is set already or can't be."""
        if self._saved is not None:
            return False
        import termios as t

        try:
            saved: list[Any] = t.tcgetattr(self._fd)
            mode = [*saved[:6], list(saved[6])]
            mode[0] &= ~(
                t.IGNBRK | t.BRKINT | t.PARMRK | t.ISTRIP | t.INLCR | t.IGNCR | t.ICRNL | t.IXON
            )
            mode[1] &= ~t.OPOST
            mode[2] = mode[2] & ~(t.CSIZE | t.PARENB) | t.CS8
            mode[3] &= ~(t.ECHO | t.ECHONL | t.ICANON | t.ISIG | t.IEXTEN)
            mode[6][t.VMIN], mode[6][t.VTIME] = 1, 0
            t.tcsetattr(self._fd, t.TCSADRAIN, mode)
        except t.error:
            return False
        self._saved = saved
        return True

    def restore(self) -> None:
        """Set what was found, if this process may (it is in the foreground)."""
        saved, self._saved = self._saved, None
        if saved is None or not _foreground():
            return
        import termios

        try:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, saved)
        except termios.error:
            return  # the terminal is gone

    def forget(self) -> None:
        """Somebody else has set the mode."""
        self._saved = None


class Scanner:
    """Finds the detach keys in what is typed; holds back what may become them."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What to send, and whether the keys were complete (the rest is dropped)."""
        keys = self._keys
        if not keys or (not self._matched and keys[0] not in data):
            return data, False
        out = bytearray()
        for byte in data:
            if byte == keys[self._matched]:
                self._matched += 1
                if self._matched == len(keys):
                    self._matched = 0
                    return bytes(out), True
                continue
            out += keys[: self._matched]
            self._matched = 0
            if byte == keys[0]:
                self._matched = 1
                if len(keys) == 1:
                    return bytes(out), True
            else:
                out.append(byte)
        return bytes(out), False


def _foreground() -> bool:
    try:
        return posix.tcgetpgrp(0) == posix.getpgrp()
    except OSError:  # not our controlling terminal: nothing stops us
        return True


def _write_all(fd: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[posix.write(fd, view) :]
        except BlockingIOError:  # somebody made the terminal non-blocking
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()


def _write_pieces(pieces: list[tuple[int, memoryview]]) -> None:
    for stream, piece in pieces:
        _write_all(stream, piece)
