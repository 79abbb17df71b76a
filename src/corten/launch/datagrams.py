"""A published UDP port on the host's loopback: datagrams are relayed to the container.

As with TCP, NAT serves what comes from outside and never reaches the socket. There is no
connection to speak of: a client is an address, with a socket of its own towards the
container so that answers find back, for as long as something is said.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK
from _socket import socket as Socket
from time import monotonic

from corten.launch.loop import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.launch.loop import Loop
    from corten.launch.messages import Published

_LARGEST = 65535  # bytes; what is not written to of a buffer costs no memory
_CLIENTS = 256  # at once; beyond that the one that has been silent longest is forgotten
_SILENCE = 60.0  # seconds after which a client is forgotten
_AT_ONCE = 32  # datagrams of one socket before others have their turn


class Datagrams:
    """One bound socket and the clients that spoke to it."""

    __slots__ = ("_clients", "_loop", "_sock", "_target")

    def __init__(self, loop: Loop, sock: Socket, target: Published) -> None:
        """
        Arguments:
            sock: non-blocking; stays the caller's, who closes it after :meth:`close`.
        """
        self._loop = loop
        self._sock = sock
        self._target = target
        self._clients: dict[Any, _Client] = {}
        loop.watch(sock.fileno(), READ, self._asked)

    @property
    def busy(self) -> bool:
        """Somebody spoke a moment ago and may be answered."""
        return bool(self._clients)

    def _asked(self, _events: int) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, address = self._sock.recvfrom(_LARGEST)
            except OSError:  # nothing more; or an answer of ours found nobody
                return
            client = self._client(address)
            if client is not None:
                client.ask(data)

    def _client(self, address: Any) -> _Client | None:
        client = self._clients.get(address)
        if client is not None:
            return client
        if not self._clients:
            self._loop.after(_SILENCE, self._forget_silent)
        elif len(self._clients) >= _CLIENTS:
            self._forget(min(self._clients, key=self._heard))
        try:
            client = _Client(self._loop, self._sock, address, self._target)
        except OSError:  # no descriptor is left, or there is no way to the container
            return None
        self._clients[address] = client
        return client

    def _heard(self, address: Any) -> float:
        return self._clients[address].heard

    def _forget_silent(self) -> None:
        before = monotonic() - _SILENCE
        for address in [a for a, client in self._clients.items() if client.heard <= before]:
            self._forget(address)
        if self._clients:
            self._loop.after(_SILENCE, self._forget_silent)

    def _forget(self, address: Any) -> None:
        self._clients.pop(address).close()

    def close(self) -> None:
        """Forget everybody. Idempotent."""
        self._loop.forget(self._sock.fileno())
        for address in list(self._clients):
            self._forget(address)


class _Client:
    """One client, and our socket to the container in its name."""

    __slots__ = ("_address", "_back", "_loop", "_server", "heard")

    def __init__(self, loop: Loop, back: Socket, address: Any, target: Published) -> None:
        family = AF_INET6 if ":" in target.address else AF_INET
        self._server = Socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
        try:
            self._server.connect((target.address, target.port))
        except OSError:
            self._server.close()
            raise
        self._loop = loop
        self._back = back
        self._address = address
        self.heard = monotonic()
        loop.watch(self._server.fileno(), READ, self._answered)

    def ask(self, data: bytes) -> None:
        """What can't be sent is lost, as datagrams are."""
        self.heard = monotonic()
        try:
            self._server.send(data)
        except OSError:  # nobody listens there (yet), or its buffer is full
            return

    def _answered(self, _events: int) -> None:
        for _ in range(_AT_ONCE):
            try:
                self._back.sendto(self._server.recv(_LARGEST), self._address)
            except OSError:  # nothing more, nobody listens there, or the client is gone
                return
            self.heard = monotonic()

    def close(self) -> None:
        self._loop.close(self._server.detach())
