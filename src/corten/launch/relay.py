"""Published ports on the host's loopback: connections (and datagrams) are relayed to the
container.

NAT serves what comes from outside; 127.0.0.1 and ::1 reach the socket that the daemon
bound (docs/design.md, "Networks"), which is held here as long as the container lives.
"""

from __future__ import annotations

from _socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_TCP,
    MSG_NOSIGNAL,
    SHUT_RDWR,
    SHUT_WR,
    SO_ACCEPTCONN,
    SO_ERROR,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_NODELAY,
)
from _socket import socket as Socket
from errno import EINPROGRESS

from corten.launch.datagrams import Datagrams
from corten.launch.loop import GONE, READ, WRITE
from corten.launch.messages import Published, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from corten.launch.loop import Loop
    from corten.launch.slumber import Bag

_CHUNK = 32 << 10
_CONNECTIONS = 1000  # at once; more wait in the listening socket's backlog


class Relay:
    """The listening sockets of one container and the connections they took."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._listening: list[tuple[Socket, Published]] = []
        self._datagrams: list[Datagrams] = []
        self._pairs: list[_Pair] = []
        self._full = False

    def publish(self, fd: int, target: Published) -> None:
        """Take a bound socket over, a listening one for TCP."""
        sock = Socket(fileno=fd)
        sock.setblocking(False)
        self._listening.append((sock, target))
        if _listens(sock):
            self._watch(sock, target)
        elif sock.type == SOCK_DGRAM:
            self._datagrams.append(Datagrams(self._loop, sock, target))

    def rest(self, bag: Bag) -> list[Any] | None:
        """See ``slumber``."""
        if self._pairs or any([port.busy for port in self._datagrams]):
            return None
        return [[bag.watch(sock.fileno()), target.to_dict()] for sock, target in self._listening]

    def resume_from(self, state: list[Any], bag: Bag) -> None:
        """Inverse of :meth:`rest`."""
        for key, target in state:
            self.publish(bag.take(key), read(Published, target))

    def _watch(self, sock: Socket, target: Published) -> None:
        self._loop.watch(sock.fileno(), READ, lambda _events: self._accept(sock, target))

    def _accept(self, sock: Socket, target: Published) -> None:
        try:
            fd, _ = sock._accept()  # type: ignore[attr-defined]  # unknown to typeshed
        except OSError:  # it went away again, or there is no descriptor left for it
            return
        self._pairs.append(_Pair(self._loop, Socket(fileno=fd), target, self._ended))
        if len(self._pairs) >= _CONNECTIONS:
            self._full = True
            for listening, _ in self._listening:
                self._loop.forget(listening.fileno())

    def _ended(self, pair: _Pair) -> None:
        self._pairs.remove(pair)
        if self._full:
            self._full = False
            for sock, target in self._listening:
                if _listens(sock):
                    self._watch(sock, target)

    def close(self) -> None:
        """Close all sockets: the ports are free again."""
        for port in self._datagrams:
            port.close()
        self._datagrams.clear()
        for sock, _ in self._listening:
            self._loop.forget(sock.fileno())
            sock.close()
        self._listening.clear()
        for pair in list(self._pairs):
            pair.close()


def _listens(sock: Socket) -> bool:
    return bool(sock.getsockopt(SOL_SOCKET, SO_ACCEPTCONN))


class _Pair:
    """A client's connection and ours to the container."""

    __slots__ = ("_ended", "_error", "_loop", "_ways")

    def __init__(
        self, loop: Loop, client: Socket, target: Published, ended: Callable[[_Pair], None]
    ) -> None:
        family = AF_INET6 if ":" in target.address else AF_INET
        server = Socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
        client.setblocking(False)
        for sock in (client, server):
            sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        error = server.connect_ex((target.address, target.port))
        self._error = error if error != EINPROGRESS else 0
        self._loop = loop
        self._ended = ended
        self._ways = (_Way(client, server), _Way(server, client))
        loop.watch(server.fileno(), WRITE, self._connected)

    def _connected(self, _events: int) -> None:
        server = self._ways[1].source
        if self._error or server.getsockopt(SOL_SOCKET, SO_ERROR):
            self.close()  # as a closed port looks from a proxy: accepted, then closed
        else:
            self._watch()

    def _ready(self, fd: int, events: int) -> None:
        for way in self._ways:
            if way.source.fileno() == fd and events & (READ | GONE):
                way.read()
            if way.target.fileno() == fd and events & (WRITE | GONE):
                way.write()
            if way.broken:
                self.close()
                return
        if all([way.done for way in self._ways]):
            self.close()
        else:
            self._watch()

    def _watch(self) -> None:
        there, back = self._ways
        for way, other in ((there, back), (back, there)):
            events = (READ if way.wants_input else 0) | (WRITE if other.pending else 0)
            self._watch_one(way.source.fileno(), events)

    def _watch_one(self, fd: int, events: int) -> None:
        if events:
            self._loop.watch(fd, events, lambda ready: self._ready(fd, ready))
        else:
            self._loop.forget(fd)

    def close(self) -> None:
        """Close both connections."""
        for way in self._ways:
            self._loop.forget(way.source.fileno())
        for way in self._ways:
            try:
                way.source.shutdown(SHUT_RDWR)
            except OSError:
                pass  # not connected (any more)
            way.source.close()
        self._ended(self)


class _Way:
    """One direction, with at most one chunk under way; the end of input is passed on."""

    __slots__ = ("broken", "done", "ended", "pending", "source", "target")

    def __init__(self, source: Socket, target: Socket) -> None:
        self.source = source
        self.target = target
        self.pending = b""
        self.ended = False  # the source said that no more comes
        self.done = False  # and the target was told
        self.broken = False

    @property
    def wants_input(self) -> bool:
        return not self.pending and not self.ended

    def read(self) -> None:
        if not self.wants_input:
            return
        try:
            self.pending = self.source.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self.broken = True
            return
        self.ended = not self.pending
        self.write()

    def write(self) -> None:
        try:
            while self.pending:
                sent = self.target.send(self.pending, MSG_NOSIGNAL)
                self.pending = self.pending[sent:]
            if self.ended and not self.done:
                self.done = True
                self.target.shutdown(SHUT_WR)
        except BlockingIOError:
            return
        except OSError:
            self.broken = True
