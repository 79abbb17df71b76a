"""The terminal, by way of the thin client that owns it."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Sequence
from typing import NamedTuple

from corten.cli import wire
from corten.cli.console import Console, Interrupted
from corten.cli.live.keys import keys

_HOME, _REST, _LINE, _BELOW = "\x1b[H", "\x1b[K", "\r\n", "\x1b[J"
_READ = 4096


class Event(NamedTuple):
    """Something that happened.

    Fields:
        key: a key's name; empty: something else.
        ready: descriptors that were asked for and can be read.
    """

    key: str = ""
    ready: tuple[int, ...] = ()


def objection() -> str:
    """Why there is no screen to draw on; empty: there is one."""
    if not (os.isatty(0) and os.isatty(1)):
        return "the live view needs a terminal"
    if os.environ.get("TERM", "dumb") in ("", "dumb"):
        return "this terminal can't move its cursor (TERM is dumb)"
    return ""


class Screen:
    """The terminal's other screen, while it is ours; a context manager.

    Arguments:
        console: the conversation with the thin client.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._sock: socket.socket | None = None
        self._unsent = b""
        self.width, self.height = size()

    def __enter__(self) -> Screen:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Take the screen."""
        if self._sock is None:
            ours, theirs = socket.socketpair()
            self._sock, self._unsent = ours, b""
            self.width, self.height = size()
            fd = theirs.detach()
            self._console.attach(fd, tty=True, stdin=True, proxy=False, keys=b"", screen=True)

    def close(self) -> None:
        """Give it back; what was there before is shown again. Idempotent."""
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()
            self._console.release()

    def draw(self, lines: Sequence[str]) -> None:
        """Show a frame; left out where the terminal has not taken the one before."""
        if self._sock is None or self._unsent:
            return
        text = _HOME + _LINE.join(f"{line}{_REST}" for line in lines) + _BELOW
        self._unsent = text.encode("utf-8", "replace")
        self._flush()

    def _flush(self) -> None:
        assert self._sock is not None
        try:
            sent = self._sock.send(self._unsent, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:  # the client is gone, the next read says so
            sent = len(self._unsent)
        self._unsent = self._unsent[sent:]

    def wait(self, seconds: float, others: Sequence[int] = ()) -> list[Event]:
        """What has happened within some time; empty: nothing, or the size has changed.

        Arguments:
            others: descriptors of whose readability is told, too.
        Raises:
            Interrupted: a signal that ends the command. ClientGone.
        """
        sock = self._sock
        assert sock is not None
        poll = select.poll()
        for fd in (self._console.fileno(), *others):
            poll.register(fd, select.POLLIN)
        poll.register(sock.fileno(), select.POLLIN | (select.POLLOUT if self._unsent else 0))
        ready = dict(poll.poll(max(0, int(seconds * 1000))))
        if self._console.fileno() in ready:
            self._messages()
        found = []
        state = ready.get(sock.fileno(), 0)
        if state & select.POLLOUT:
            self._flush()
        if state & ~select.POLLOUT:
            found += self._typed(sock)
        return found + [Event(ready=(fd,)) for fd in others if fd in ready]

    def _typed(self, sock: socket.socket) -> list[Event]:
        try:
            data = sock.recv(_READ, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:  # the terminal is gone
            return [Event(key="ctrl-c")]
        return [Event(key=key) for key in keys(data)]

    def _messages(self) -> None:
        for kind, payload in self._console.messages():
            if kind == wire.SIGNAL:
                raise Interrupted(payload[0])
            if kind == wire.RESIZE:
                self.height = int.from_bytes(payload[:2], "big")
                self.width = int.from_bytes(payload[2:4], "big")


def size() -> tuple[int, int]:
    """Columns and rows of the terminal; 80 and 24 where it does not tell."""
    try:
        found = os.get_terminal_size(1)
    except OSError:
        return 80, 24
    return found.columns or 80, found.lines or 24
