"""Attachers: who looks at a process's output and types into its stdin, by a stream socket.

A slow attacher holds the process up, as under Docker: its output is read only while every
attacher has taken the last chunk. Docker lets a container run a megabyte ahead; here the
socket's buffer does that, so that the monitor's own memory stays as it is.
"""

from __future__ import annotations

from _socket import (
    AF_UNIX,
    MSG_NOSIGNAL,
    SHUT_RDWR,
    SO_SNDBUF,
    SOCK_CLOEXEC,
    SOCK_STREAM,
    SOL_SOCKET,
    socketpair,
)
from _socket import socket as Socket
from _struct import pack

from corten.launch.loop import GONE, READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from corten.launch.loop import Loop

AHEAD = 1 << 20
_LEFT_OVER = 4 << 20
_SO_SNDBUFFORCE = 32
_CHUNK = 8192


class Attacher:
    """One attached client. Callbacks: ``input`` gets what it types (``b""``: it closed its
    writing side), ``ready`` is called when it can take output again after :attr:`full`,
    ``gone`` when it is closed."""

    __slots__ = (
        "_ended",
        "_loop",
        "_mute",
        "_paused",
        "_pending",
        "_reads",
        "_sock",
        "_watched",
        "framed",
        "gone",
        "input",
        "ready",
        "streams",
    )

    def __init__(self, loop: Loop, *, framed: bool, streams: tuple[str, ...], stdin: bool) -> None:
        """``framed``: output in Docker's frames; ``streams``: which output it gets."""
        self._loop = loop
        self._sock: Socket | None = None
        self._pending = b""
        self._reads = stdin  # input may still come
        self._paused = False
        self._mute = False  # it can't be written to any more
        self._ended = False  # nothing but the pending output is left to do
        self._watched = -1
        self.framed = framed
        self.streams = streams
        self.input: Callable[[Attacher, bytes], None] | None = None
        self.ready: Callable[[], None] | None = None
        self.gone: Callable[[Attacher], None] | None = None

    def open(self, given: int = -1) -> int:
        """Take ``given`` over, or make the socket pair and return the client's end."""
        theirs = None
        if given >= 0:
            mine = Socket(fileno=given)
        else:
            mine, theirs = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
        mine.setblocking(False)
        _buffer(mine, AHEAD)
        self._sock = mine
        self._watch()
        return theirs.detach() if theirs is not None else -1

    @property
    def full(self) -> bool:
        """It has not taken the last chunk yet."""
        return bool(self._pending)

    def send(self, stream: str, chunk: bytes) -> None:
        """Give it output; what the socket does not take waits here."""
        if self._sock is None or self._mute or stream not in self.streams:
            return
        if self.framed:
            chunk = pack(">BxxxL", 1 if stream == "stdout" else 2, len(chunk)) + chunk
        self._pending = self._pending + chunk if self._pending else chunk
        self._flush()
        self._settle()  # it may have gone, which nothing else would tell

    def pause_input(self, paused: bool) -> None:
        """Stop reading from it while the process's stdin is full."""
        self._paused = paused
        self._watch()

    def finish(self) -> None:
        """No more output, no more input. What is left is put into the socket's buffer, where
        it stays for the client to read; closed as soon as it fits."""
        if self._sock is None:
            return
        self._ended = True
        self._reads = False
        if self._pending:
            _buffer(self._sock, _LEFT_OVER)
            self._flush()
        self._settle()

    def close(self) -> None:
        """Close it, whatever it did not read."""
        sock, self._sock = self._sock, None
        if sock is None:
            return
        self._loop.forget(sock.fileno())
        self._pending = b""
        try:
            # Input that nobody read would turn the client's end of file into ECONNRESET.
            sock.shutdown(SHUT_RDWR)
            while sock.recv(_CHUNK):
                pass
        except OSError:
            pass  # the client closed it, or there was no input
        sock.close()
        if self.gone is not None:
            self.gone(self)

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
            if not self._pending and self.ready is not None:
                self.ready()
        if events & (READ | GONE) and self._reads and not self._paused:
            self._read(gone=bool(events & GONE))
        elif events & GONE:
            self._mute = True
            self._pending = b""
            if self.ready is not None:
                self.ready()
        self._settle()

    def _settle(self) -> None:
        """Close what has nothing left to do, else watch for what it waits for."""
        if self._sock is None:
            return
        if not self._pending and (self._ended or (self._mute and not self._reads)):
            self.close()
        else:
            self._watch()

    def _read(self, *, gone: bool) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._reads = False
            if gone:  # it went away altogether (detached): that ends nobody's stdin
                self._mute = True
                self._pending = b""
                return
        if self.input is not None:
            self.input(self, data)

    def _flush(self) -> None:
        assert self._sock is not None
        try:
            while self._pending:
                sent = self._sock.send(self._pending, MSG_NOSIGNAL)
                self._pending = self._pending[sent:]
        except BlockingIOError:
            pass
        except OSError:  # what it wrote before it went is still read
            self._mute = True
            self._pending = b""

    def _watch(self) -> None:
        if self._sock is None:
            return
        events = (READ if self._reads and not self._paused else 0) | (WRITE if self._pending else 0)
        if self._mute and not events:  # poll would tell of its end again and again
            self._loop.forget(self._sock.fileno())
            events = -1
        elif events != self._watched:
            self._loop.watch(self._sock.fileno(), events, self._ready)
        self._watched = events


def _buffer(sock: Socket, size: int) -> None:
    try:
        sock.setsockopt(SOL_SOCKET, _SO_SNDBUFFORCE, size)
    except PermissionError:  # rootless: as far as net.core.wmem_max goes
        sock.setsockopt(SOL_SOCKET, SO_SNDBUF, size)
