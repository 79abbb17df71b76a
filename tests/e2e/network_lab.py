"""Network namespaces for tests: a host of its own with the networks under test in it.

A thread that unshares its network namespace passes it on to every thread that it starts, so
a whole :class:`NetworkService` runs inside without a process of its own, and nothing of the
machine's network is touched.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import threading
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import TypeVar

from corten.kernel import namespaces
from corten.networks import host, links
from corten.networks.rtnl import Rtnl
from corten.networks.service import NetworkService
from corten.networks.types import NetworkConfig
from corten.store.database import Database
from tests.harness import Daemon

T = TypeVar("T")

OUTSIDE = "192.0.2.1"
HOST = "192.0.2.2"


class Namespace:
    """A network namespace, held by a descriptor, with a netlink socket opened inside."""

    def __init__(self) -> None:
        self.fd = -1
        self.netlink = -1
        _in_thread(self._open)

    def _open(self) -> None:
        namespaces.unshare(namespaces.CLONE_NEWNET)
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        inside = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.netlink = inside.detach()
        host.loopback_up(self.netlink)

    def run(self, function: Callable[[], T]) -> T:
        """Run a function in a thread inside."""

        def enter() -> T:
            namespaces.setns(self.fd, namespaces.CLONE_NEWNET)
            return function()

        return _in_thread(enter)

    def links(self) -> dict[str, links.Link]:
        with Rtnl.borrow(self.netlink) as rtnl:
            return {link.name: link for link in links.list_links(rtnl)}

    def addresses(self) -> list[str]:
        with Rtnl.borrow(self.netlink) as rtnl:
            return [str(address) for _, address in links.list_addresses(rtnl)]

    def close(self) -> None:
        for fd in (self.fd, self.netlink):
            if fd >= 0:
                os.close(fd)
        self.fd = self.netlink = -1


def _in_thread(function: Callable[[], T]) -> T:
    answers: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            answers.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return answers[0]


class Lab:
    """A host namespace with an uplink ``up0`` to a namespace "outside" (192.0.2.1)."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.host = Namespace()
        self.outside = Namespace()
        self.containers: list[Namespace] = []
        self._connect_outside()

    def _connect_outside(self) -> None:
        with Rtnl.borrow(self.host.netlink) as here:
            here.request(
                links.add_veth(
                    "up0",
                    master=0,
                    mtu=1400,
                    peer="up1",
                    peer_mac="02:00:00:00:00:01",
                    peer_netns_fd=self.outside.fd,
                ),
                links.set_up("up0"),
            )
            here.request(
                links.add_address(self.host.links()["up0"].number, IPv4Interface(f"{HOST}/24"))
            )
            with Rtnl.borrow(self.outside.netlink) as there:
                index = self.outside.links()["up1"].number
                there.request(
                    links.set_up("up1"), links.add_address(index, IPv4Interface(f"{OUTSIDE}/24"))
                )
            here.request(links.add_default_route(IPv4Address(OUTSIDE)))

    def container(self) -> Namespace:
        """A namespace for a container."""
        made = Namespace()
        self.containers.append(made)
        return made

    def run(
        self,
        test: Callable[[NetworkService], Awaitable[T]],
        *,
        live: tuple[str, ...] = (),
        prefix: str = "cafe123",
        config: NetworkConfig | None = None,
    ) -> T:
        """One life of a daemon's networks: recover with ``live``, the test, close."""

        async def body() -> T:
            db = Database(str(self.base / "corten.db"))
            service = NetworkService(
                db=db,
                prefix=prefix,
                state_dir=str(self.base),
                config=config or NetworkConfig(),
            )
            try:
                await service.recover(live)
                return await test(service)
            finally:
                await service.close()
                db.close()

        return self.host.run(lambda: asyncio.run(body()))

    def close(self) -> None:
        for namespace in (self.host, self.outside, *self.containers):
            namespace.close()


class NetnsDaemon(Daemon):
    """A real ``cortend`` in a network namespace that a sleeping process holds, so that its
    bridges and rules touch nothing of the machine and outlive a ``kill -9`` of it."""

    def __init__(self, *, config: str = "") -> None:
        super().__init__(config=config)
        self._holder = _hold_namespace()

    def argv(self) -> list[str]:
        return [*self.inside(), *super().argv()]

    def new_network(self) -> None:
        """The namespace goes with everything in it, as in a reboot; the daemon must be dead."""
        self._holder.kill()
        self._holder.wait()
        self._holder = _hold_namespace()

    @property
    def netns(self) -> str:
        """The daemon's network namespace."""
        return f"/proc/{self._holder.pid}/ns/net"

    def inside(self) -> list[str]:
        """What runs a command there."""
        return ["nsenter", f"--net={self.netns}"]

    def run_inside(self, *command: str, check: bool = True) -> str:
        """What a command there prints."""
        done = subprocess.run(
            [*self.inside(), *command], capture_output=True, text=True, check=check, timeout=30
        )
        return done.stdout

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._holder.kill()
            self._holder.wait()


def _hold_namespace() -> subprocess.Popen[bytes]:
    holder = subprocess.Popen(
        ["unshare", "-n", "sh", "-c", "ip link set lo up && echo ready && exec sleep infinity"],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    with holder.stdout as output:
        assert output.readline() == b"ready\n"
    return holder


def echo_server(address: str, port: int, *, greeting: bytes) -> socket.socket:
    """A listening socket in the calling thread's namespace; it greets with the peer's address."""
    server = socket.create_server((address, port))

    def serve() -> None:
        while True:
            try:
                connection, peer = server.accept()
            except OSError:
                return
            with connection:
                connection.sendall(greeting + b" " + peer[0].encode())

    threading.Thread(target=serve, daemon=True).start()
    return server


def ask(address: str, port: int, *, timeout: float = 10.0) -> str:
    """Connect from the calling thread's namespace; what the server says."""
    with socket.create_connection((address, port), timeout=timeout) as connection:
        answer = b""
        while part := connection.recv(1024):
            answer += part
        return answer.decode()
