"""Asking other servers, one after the other, without waiting for any."""

from __future__ import annotations

import os
from _socket import (
    AF_INET,
    AF_INET6,
    SO_ERROR,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
)
from _socket import socket as Socket
from _struct import pack
from errno import EINPROGRESS

from corten.launch.dns import packets
from corten.launch.dns.cache import Cache
from corten.launch.dns.packets import Answer, Query
from corten.launch.loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from corten.launch.loop import Loop, Timer

    Reply = Callable[[bytes], None]
    Open = Callable[[int, int, str], Socket]  # family, type, server: a socket in the right place

_PATIENCE = 1.5  # seconds for one server, before the next is asked
_ROUNDS = 2
_TCP = 5.0  # seconds for one server by TCP
_MOST = 500  # questions under way
_PORT = 53
_NEXT = (packets.SERVFAIL, packets.NOTIMP, packets.REFUSED)


class Upstream:
    """Questions under way, and the cache."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._cache = Cache()
        self.waiting = 0

    def ask(
        self, query: Query, servers: list[str], reply: Reply, *, tcp: bool, open_: Open
    ) -> None:
        """Have a question answered: from the cache, or by one of the servers.

        Arguments:
            reply: called once, perhaps at once.
            tcp: by TCP, so that the answer is whole.
        """
        key = (*query.key, tuple(servers))
        kept = self._cache.get(key, query.id)
        if kept is not None:
            reply(kept)
            return
        if not servers or self.waiting >= _MOST:
            reply(query.reply(packets.SERVFAIL))
            return

        def done(answer: Answer | None) -> None:
            self.waiting -= 1
            if answer is None:
                reply(query.reply(packets.SERVFAIL))
                return
            self._cache.put(key, answer)
            reply(answer.renewed(query.id, 0))

        self.waiting += 1
        kind = _ByTcp if tcp else _ByUdp
        kind(self._loop, query, servers * _ROUNDS, done, open_).next()


class _Asking:
    """One question; the servers are tried in order."""

    patience = _PATIENCE
    type = SOCK_DGRAM

    def __init__(
        self,
        loop: Loop,
        query: Query,
        servers: list[str],
        done: Callable[[Answer | None], None],
        open_: Open,
    ) -> None:
        self.loop = loop
        self.query = query
        self.number = int.from_bytes(os.urandom(2), "big")
        self.packet = pack("!H", self.number) + query.raw[2:]
        self.sock: Socket | None = None
        self._servers = servers
        self._done = done
        self._open = open_
        self._timer: Timer | None = None
        self._last: Answer | None = None  # a refusal, if nobody does better

    def next(self) -> None:
        """Ask the next server, or give up."""
        self._stop()
        while self._servers:
            server = self._servers.pop(0)
            family = AF_INET6 if ":" in server else AF_INET
            try:
                self.sock = self._open(family, self.type, server)
                code = self.sock.connect_ex((server, _PORT))
                if code not in (0, EINPROGRESS):
                    raise OSError(code, "connect")
                self.begin(self.sock)
            except OSError:
                self._stop()
                continue
            self._timer = self.loop.after(self.patience, self.next)
            return
        self._done(self._last)

    def begin(self, sock: Socket) -> None:
        raise OSError

    def came(self, data: bytes) -> None:
        """An answer, or something else."""
        try:
            answer = Answer(data)
        except (ValueError, IndexError):
            return
        except Exception:  # struct.error: cut off in the middle
            return
        if answer.id != self.number or answer.question != self.query.question.lower():
            return
        if answer.code in _NEXT and self._servers:
            self._last = answer
            self.next()
            return
        self._stop()
        self._done(answer)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.sock is not None:
            self.loop.forget(self.sock.fileno())
            self.sock.close()
            self.sock = None


class _ByUdp(_Asking):
    def begin(self, sock: Socket) -> None:
        sock.send(self.packet)
        self.loop.watch(sock.fileno(), READ, self._ready)

    def _ready(self, _events: int) -> None:
        if self.sock is None:
            return
        try:
            data = self.sock.recv(65535)
        except BlockingIOError:
            return
        except OSError:  # nobody listens there
            self.next()
            return
        self.came(data)


class _ByTcp(_Asking):
    patience = _TCP
    type = SOCK_STREAM

    def begin(self, sock: Socket) -> None:
        self._got = b""
        self.loop.watch(sock.fileno(), WRITE, self._connected)

    def _connected(self, _events: int) -> None:
        if self.sock is None:
            return
        try:
            code = self.sock.getsockopt(SOL_SOCKET, SO_ERROR)
            if code:
                raise OSError(code, "connect")
            self.sock.send(pack("!H", len(self.packet)) + self.packet)
        except OSError:
            self.next()
            return
        self.loop.watch(self.sock.fileno(), READ, self._ready)

    def _ready(self, _events: int) -> None:
        if self.sock is None:
            return
        try:
            part = self.sock.recv(65535)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part:
            self.next()
            return
        self._got += part
        if len(self._got) >= 2 and len(self._got) >= 2 + int.from_bytes(self._got[:2], "big"):
            self.came(self._got[2 : 2 + int.from_bytes(self._got[:2], "big")])


def open_socket(family: int, kind: int) -> Socket:
    """One that does not block."""
    return Socket(family, kind | SOCK_CLOEXEC | SOCK_NONBLOCK)
