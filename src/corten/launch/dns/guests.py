"""One container that asks: sockets in its network namespace, at 127.0.0.11."""

from __future__ import annotations

import os
import sys
from _socket import AF_INET, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM
from _socket import socket as Socket
from _struct import pack

from corten.kernel import nfnetlink
from corten.kernel.namespaces import CLONE_NEWNET, setns
from corten.launch.dns.packets import Query
from corten.launch.loop import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from corten.launch.loop import Loop

    Asked = Callable[["Guest", Query, bool, Callable[[bytes], None]], None]

ADDRESS = "127.0.0.11"
_PORT = 53
_TABLE = "corten_dns"
_IDLE = 10.0  # seconds for a connection
_MOST_CONNECTIONS = 64


class Guest:
    """A container.

    Attributes:
        networks: ids of its networks.
        servers: those that it named; empty: the host's.
        shut_in: none of its networks leads to the outside: nobody else is asked.

    Arguments:
        netns: its network namespace; ours from here on.
        own_netns: that of this process.
        asked: called with each question.
    """

    def __init__(self, loop: Loop, netns: int, own_netns: int, asked: Asked) -> None:
        self.networks: list[str] = []
        self.servers: list[str] = []
        self.shut_in = False
        self._loop = loop
        self._netns = netns
        self._own = own_netns
        self._asked = asked
        self._connections: list[_Connection] = []
        self._udp, self._tcp = self._inside(_listen)
        loop.watch(self._udp.fileno(), READ, self._datagrams)
        loop.watch(self._tcp.fileno(), READ, self._accept)

    def _inside(self, action: Callable[[], tuple[Socket, Socket]]) -> tuple[Socket, Socket]:
        setns(self._netns, CLONE_NEWNET)
        try:
            return action()
        finally:
            setns(self._own, CLONE_NEWNET)

    def socket(self, family: int, kind: int, server: str) -> Socket:
        """A socket to ask a server with. One on the loopback that the container named itself
        is the container's own; all others are asked from the host."""
        inside = bool(self.servers) and (server.startswith("127.") or server == "::1")
        if inside:
            setns(self._netns, CLONE_NEWNET)
        try:
            return Socket(family, kind | SOCK_CLOEXEC | SOCK_NONBLOCK)
        finally:
            if inside:
                setns(self._own, CLONE_NEWNET)

    def _datagrams(self, _events: int) -> None:
        for _ in range(32):
            try:
                data, sender = self._udp.recvfrom(4096)
            except OSError:
                return
            query = parse(data)
            if query is not None:
                self._asked(self, query, False, self._sender(query, sender))

    def _sender(self, query: Query, to: tuple[Any, ...]) -> Callable[[bytes], None]:
        def reply(answer: bytes) -> None:
            try:
                self._udp.sendto(query.fit(answer), to)
            except OSError:  # it is gone, or does not take it: it will ask again
                return

        return reply

    def _accept(self, _events: int) -> None:
        try:
            fd, _ = self._tcp._accept()  # type: ignore[attr-defined]  # unknown to typeshed
        except OSError:
            return
        sock = Socket(fileno=fd)
        sock.setblocking(False)
        if len(self._connections) >= _MOST_CONNECTIONS:
            sock.close()
            return
        one = _Connection(self._loop, sock, self._heard, self._connections.remove)
        self._connections.append(one)

    def _heard(self, query: Query, reply: Callable[[bytes], None]) -> None:
        self._asked(self, query, True, reply)

    def close(self) -> None:
        """Its sockets, and with them its namespace, are let go."""
        for one in list(self._connections):
            one.close()
        for sock in (self._udp, self._tcp):
            self._loop.forget(sock.fileno())
            sock.close()
        os.close(self._netns)


class _Connection:
    """Questions by TCP, one after the other or at once."""

    def __init__(
        self,
        loop: Loop,
        sock: Socket,
        heard: Callable[[Query, Callable[[bytes], None]], None],
        closed: Callable[[_Connection], None],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._heard = heard
        self._closed = closed
        self._got = b""
        self._timer = loop.after(_IDLE, self.close)
        loop.watch(sock.fileno(), READ, self._ready)

    def _ready(self, _events: int) -> None:
        try:
            part = self._sock.recv(65535)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part:
            self.close()
            return
        self._got += part
        while len(self._got) >= 2:
            length = int.from_bytes(self._got[:2], "big")
            if len(self._got) < 2 + length:
                return
            data, self._got = self._got[2 : 2 + length], self._got[2 + length :]
            query = parse(data)
            if query is None:
                self.close()
                return
            self._heard(query, self._reply)

    def _reply(self, answer: bytes) -> None:
        if self._sock.fileno() < 0:
            return
        try:
            # An answer of 64 KiB fits into the socket's buffer, or the asker does not read.
            self._sock.send(pack("!H", len(answer)) + answer)
        except OSError:
            self.close()

    def close(self) -> None:
        """Idempotent."""
        if self._sock.fileno() < 0:
            return
        self._timer.cancel()
        self._loop.forget(self._sock.fileno())
        self._sock.close()
        self._closed(self)


def parse(data: bytes) -> Query | None:
    """A question, or None for what is none."""
    try:
        return Query(data)
    except (ValueError, IndexError):
        return None
    except Exception:  # struct.error: cut off in the middle
        return None


def _listen() -> tuple[Socket, Socket]:
    """Sockets in the current network namespace. Port 53 stays free for the container, which
    may be a name server itself: the kernel redirects what is sent to 127.0.0.11:53. Where it
    can't (no nf_tables), the port itself is taken."""
    udp = Socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
    tcp = Socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
    try:
        udp.bind((ADDRESS, 0))
        tcp.bind((ADDRESS, 0))
        try:
            ports = {"udp": udp.getsockname()[1], "tcp": tcp.getsockname()[1]}
            nfnetlink.redirect(_TABLE, ADDRESS, _PORT, **ports)
        except OSError as error:
            sys.stderr.write(f"corten resolver: port 53 is not redirected: {error}\n")
            udp.close()
            tcp.close()
            udp = Socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
            tcp = Socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
            udp.bind((ADDRESS, _PORT))
            tcp.bind((ADDRESS, _PORT))
        tcp.listen(16)
    except BaseException:
        udp.close()
        tcp.close()
        raise
    return udp, tcp
