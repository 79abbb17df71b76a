"""Published UDP ports: who asks at the loopback is answered, and forgotten in the end."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from corten.launch import datagrams
from corten.launch.loop import Loop
from corten.launch.messages import Published
from corten.launch.relay import Relay
from corten.launch.slumber import Bag

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def bound(family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.settimeout(5)
    try:
        sock.bind((LOOPBACK[family], 0))
    except OSError:
        sock.close()
        pytest.skip("no IPv6 here")
    return sock


class Port:
    """A relayed port; the container's end is a socket of ours."""

    def __init__(self, family: socket.AddressFamily) -> None:
        self.loop = Loop()
        self.relay = Relay(self.loop)
        self.server = bound()
        published = bound(family)
        self.address = published.getsockname()
        target = Published(address="127.0.0.1", port=self.server.getsockname()[1])
        self.relay.publish(published.detach(), target)

    def ask(self, client: socket.socket, text: bytes) -> tuple[bytes, Any]:
        """What the container gets, and from whom."""
        client.sendto(text, self.address)
        self.loop.turn()
        return self.server.recvfrom(100_000)

    def close(self) -> None:
        self.relay.close()
        self.server.close()


@pytest.fixture(params=LOOPBACK)
def port(request: pytest.FixtureRequest) -> Iterator[Port]:
    made = Port(request.param)
    yield made
    made.close()


def client_of(port: Port) -> socket.socket:
    return bound(socket.AF_INET6 if len(port.address) == 4 else socket.AF_INET)


def test_questions_and_answers_of_two_clients(port: Port) -> None:
    with client_of(port) as one, client_of(port) as two:
        first, second = port.ask(one, b"one"), port.ask(two, b"two")
        assert (first[0], second[0]) == (b"one", b"two")
        assert port.ask(one, b"again") == (b"again", first[1])
        for (_, sender), text in ((second, b"to two"), (first, b"x" * 60_000)):
            port.server.sendto(text, sender)
            port.loop.turn()
        assert one.recv(100_000) == b"x" * 60_000
        assert two.recvfrom(100) == (b"to two", port.address)


def test_nobody_listens_in_the_container_yet(port: Port) -> None:
    number = port.server.getsockname()[1]
    port.server.close()
    with client_of(port) as one:
        for _ in range(3):
            one.sendto(b"lost", port.address)
            port.loop.turn()
            port.loop.turn()  # the kernel tells that nobody took it
        port.server = bound()
        port.server.close()
        port.server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        port.server.settimeout(5)
        port.server.bind(("127.0.0.1", number))
        assert port.ask(one, b"found")[0] == b"found"


def test_who_is_silent_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "_SILENCE", 0.05)
    port = Port(socket.AF_INET)
    before = len(os.listdir("/proc/self/fd"))
    with bound() as one:
        port.ask(one, b"one")
    while len(os.listdir("/proc/self/fd")) > before:
        port.loop.turn()
    port.close()


def test_there_are_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "_CLIENTS", 2)
    port = Port(socket.AF_INET)
    before = len(os.listdir("/proc/self/fd"))
    with bound() as one, bound() as two, bound() as three:
        senders = [port.ask(client, b"x")[1] for client in (one, two, three)]
        assert len(os.listdir("/proc/self/fd")) == before + 3 + 2
        assert port.ask(two, b"x")[1] == senders[1]
        assert port.ask(one, b"x")[1] != senders[0]
    port.close()


def test_the_port_is_free_again_when_it_is_closed(port: Port) -> None:
    with client_of(port) as one:
        port.ask(one, b"x")
    port.relay.close()
    with socket.socket(
        socket.AF_INET6 if len(port.address) == 4 else socket.AF_INET, socket.SOCK_DGRAM
    ) as again:
        again.bind(port.address)


def test_a_monitor_rests_when_nobody_speaks_and_is_woken_by_who_does(port: Port) -> None:
    bag = Bag()
    (left,) = port.relay.rest(bag) or []
    assert bag.watched and not bag.held
    with client_of(port) as one:
        port.ask(one, b"x")
        assert port.relay.rest(Bag()) is None
    assert left[1]["address"] == "127.0.0.1"
