"""Names on networks that users make: the resolver, asked by real programs in containers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.kernel import namespaces
from corten.launch.dns import packets
from tests.e2e.network_lab import NetnsDaemon
from tests.support import eventually

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="needs a docker CLI")

SLEEP = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"
UPSTREAM = "192.0.2.53"


class Upstream:
    """A name server on the daemon's host: knows example.test, counts what it is asked."""

    def __init__(self, netns: str) -> None:
        self.asked: list[str] = []
        self.udp: socket.socket
        self.tcp: socket.socket
        fd = os.open(netns, os.O_RDONLY)
        opened = threading.Thread(target=self._open, args=(fd,))
        opened.start()
        opened.join()
        os.close(fd)
        for target in (self._datagrams, self._connections):
            threading.Thread(target=target, daemon=True).start()

    def _open(self, fd: int) -> None:
        namespaces.setns(fd, namespaces.CLONE_NEWNET)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((UPSTREAM, 53))
        self.tcp = socket.create_server((UPSTREAM, 53))

    def _answer(self, data: bytes, *, tcp: bool) -> bytes:
        query = packets.Query(data)
        self.asked.append(query.name)
        if query.name == "long.test":
            many = [packets.record(packets.A, bytes([10, 0, 0, n])) for n in range(100)]
            answer = query.reply(packets.NOERROR, many)
            return answer if tcp else query.fit(answer)
        if query.name == "example.test":
            found = [packets.record(packets.A, bytes([203, 0, 113, 7]))]
            return query.reply(packets.NOERROR, found if query.kind == packets.A else [])
        return query.reply(packets.NXDOMAIN)

    def _datagrams(self) -> None:
        while True:
            try:
                data, sender = self.udp.recvfrom(4096)
                self.udp.sendto(self._answer(data, tcp=False), sender)
            except OSError:
                return

    def _connections(self) -> None:
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            with connection:
                data = connection.recv(4096)
                answer = self._answer(data[2:], tcp=True)
                connection.sendall(len(answer).to_bytes(2, "big") + answer)

    def close(self) -> None:
        for one in (self.udp, self.tcp):
            one.shutdown(socket.SHUT_RDWR) if one is self.tcp else None
            one.close()


@pytest.fixture(scope="module")
def server() -> Iterator[NetnsDaemon]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = NetnsDaemon()
    made.start()
    try:
        from corten.client import Client

        with Client(str(made.state / "corten.sock")) as client:
            client.images.from_host("tools", ["/bin/busybox"])
        made.run_inside("ip", "link", "add", "up0", "type", "veth", "peer", "up1")
        made.run_inside("ip", "addr", "add", f"{UPSTREAM}/24", "dev", "up0")
        for link in ("up0", "up1"):
            made.run_inside("ip", "link", "set", link, "up")
        made.docker("network", "create", "--subnet", "10.7.0.0/24", "app")
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def upstream(server: NetnsDaemon) -> Iterator[Upstream]:
    made = Upstream(server.netns)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def clean(server: NetnsDaemon) -> Iterator[None]:
    yield
    names = server.docker("ps", "-aq").stdout.split()
    if names:
        server.docker("rm", "-f", *names)


def run(server: NetnsDaemon, *options: str, script: str = SLEEP) -> str:
    """Start a container with a script of busybox; its id."""
    command = ["run", "-d", *options, "tools", "/bin/busybox", "sh", "-c", script]
    return server.docker(*command).stdout.strip()


def lookup(server: NetnsDaemon, container: str, *words: str) -> list[str]:
    """The addresses (or names) that busybox's nslookup prints."""
    done = server.docker("exec", container, "/bin/busybox", "nslookup", *words, check=False)
    lines = done.stdout.splitlines()
    found = [
        line.rpartition(" ")[2]
        for line in lines[2:]
        if line.startswith("Address") or "name = " in line
    ]
    return sorted(found)


def test_names_aliases_and_ids(server: NetnsDaemon) -> None:
    one = run(server, "--network", "app", "--name", "web", "--network-alias", "www")
    two = run(server, "--network", "app", "--name", "client")
    assert (
        "nameserver 127.0.0.11"
        in server.docker("exec", two, "/bin/busybox", "cat", "/etc/resolv.conf").stdout
    )
    for name in ("web", "www", "WEB", "web.app", one[:12]):
        assert lookup(server, two, name) == ["10.7.0.2"], name
    assert lookup(server, two, "10.7.0.2") == ["web.app"]
    assert lookup(server, one, "client") == ["10.7.0.3"]
    ping = server.docker("exec", two, "/bin/busybox", "ping", "-c1", "web")
    assert "1 packets received" in ping.stdout


def test_a_service_of_several_containers_goes_round(server: NetnsDaemon) -> None:
    run(server, "--network", "app", "--network-alias", "service")
    run(server, "--network", "app", "--network-alias", "service")
    two = run(server, "--network", "app")
    assert len(lookup(server, two, "service")) == 2
    pid = server.docker("inspect", "-f", "{{.State.Pid}}", two).stdout.strip()
    question = b"\0\1\1\0\0\1\0\0\0\0\0\0" + packets.write_name("service") + b"\0\1\0\1"
    answers = [_ask_by_tcp(f"/proc/{pid}/ns/net", question) for _ in range(4)]
    assert {int.from_bytes(answer[6:8], "big") for answer in answers} == {2}
    assert len({answer[-4:] for answer in answers}) == 2  # each comes last once


def test_names_follow_what_happens(server: NetnsDaemon) -> None:
    two = run(server, "--network", "app")
    assert lookup(server, two, "late") == []
    one = run(server, "--network", "app", "--name", "late")
    assert len(lookup(server, two, "late")) == 1
    server.docker("network", "disconnect", "app", one)
    assert lookup(server, two, "late") == []
    server.docker("network", "connect", "--alias", "again", "app", one)
    assert len(lookup(server, two, "again")) == 1
    server.docker("rm", "-f", one)
    assert lookup(server, two, "again") == []


def test_other_networks_names_are_not_known(server: NetnsDaemon) -> None:
    server.docker("network", "create", "--internal", "other")
    run(server, "--network", "other", "--name", "hidden")
    two = run(server, "--network", "app")
    assert lookup(server, two, "hidden") == []
    server.docker("network", "connect", "other", two)
    assert len(lookup(server, two, "hidden")) == 1
    server.docker("rm", "-f", "hidden", two)
    server.docker("network", "rm", "other")


def test_a_container_may_be_a_name_server_itself(server: NetnsDaemon) -> None:
    script = "busybox nc -l -p 53 -e /bin/busybox true & busybox nc -u -l -p 53 & wait"
    one = run(server, "--network", "app", "--name", "dns", script=f"{script}; sleep 1000")
    assert lookup(server, one, "dns") == ["10.7.0." + _last(server, one)]

    def listens() -> bool:
        shown = server.docker("exec", one, "/bin/busybox", "netstat", "-ln").stdout
        return "0.0.0.0:53" in shown or ":::53" in shown

    eventually(listens, what="its own server listens")


def _last(server: NetnsDaemon, container: str) -> str:
    layout = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return server.docker("inspect", "-f", layout, container).stdout.strip().rpartition(".")[2]


def test_what_it_does_not_know_it_asks(server: NetnsDaemon, upstream: Upstream) -> None:
    one = run(server, "--network", "app", "--dns", UPSTREAM, "--dns-search", "test")
    resolv = server.docker("exec", one, "/bin/busybox", "cat", "/etc/resolv.conf").stdout
    assert resolv == "search test\nnameserver 127.0.0.11\noptions ndots:0\n"
    assert lookup(server, one, "-type=a", "example.test") == ["203.0.113.7"]
    before = len(upstream.asked)
    assert lookup(server, one, "-type=a", "example.test") == ["203.0.113.7"]
    assert upstream.asked[before:] == []  # it was kept
    assert lookup(server, one, "-type=a", "nothing.test") == []
    ping = server.docker("exec", one, "/bin/busybox", "ping", "-c1", "-W1", "example", check=False)
    assert "203.0.113.7" in ping.stdout


def test_by_tcp(server: NetnsDaemon, upstream: Upstream) -> None:
    one = run(server, "--network", "app", "--dns", UPSTREAM, "--name", "tcp")
    pid = server.docker("inspect", "-f", "{{.State.Pid}}", one).stdout.strip()
    asked = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    for name, count in (("tcp", 1), ("long.test", 100)):
        question = asked + packets.write_name(name) + b"\x00\x01\x00\x01"
        answer = _ask_by_tcp(f"/proc/{pid}/ns/net", question)
        assert answer[:2] == b"\x12\x34" and int.from_bytes(answer[6:8], "big") == count


def _ask_by_tcp(netns: str, question: bytes) -> bytes:
    found: list[bytes] = []

    def work() -> None:
        fd = os.open(netns, os.O_RDONLY)
        namespaces.setns(fd, namespaces.CLONE_NEWNET)
        os.close(fd)
        with socket.create_connection(("127.0.0.11", 53), timeout=5) as connection:
            connection.sendall(len(question).to_bytes(2, "big") + question)
            data = b""
            while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
                data += connection.recv(65535)
            found.append(data[2:])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found[0]


def resolver(server: NetnsDaemon) -> int:
    """The resolver's process id; 0: there is none."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name = (entry / "comm").read_text().strip()
                held = any(
                    os.readlink(one).startswith(f"{server.state}/resolver/")
                    for one in (entry / "fd").iterdir()
                )
            except OSError:
                continue
            if name == "corten-resolver" and held:
                return int(entry.name)
    return 0


def test_names_go_on_while_the_daemon_is_dead(server: NetnsDaemon) -> None:
    run(server, "--network", "app", "--name", "web")
    two = run(server, "--network", "app", "--name", "client")
    before = resolver(server)
    pid = server.docker("inspect", "-f", "{{.State.Pid}}", two).stdout.strip()
    server.kill()
    question = b"\0\1\1\0\0\1\0\0\0\0\0\0" + packets.write_name("web") + b"\0\1\0\1"
    assert int.from_bytes(_ask_by_tcp(f"/proc/{pid}/ns/net", question)[6:8], "big") == 1
    server.start()
    assert resolver(server) == before
    assert len(lookup(server, two, "web")) == 1
    three = run(server, "--network", "app", "--name", "third")
    assert len(lookup(server, three, "web")) == 1
    assert len(lookup(server, two, "third")) == 1


def test_a_resolver_that_is_killed_is_followed_by_another(server: NetnsDaemon) -> None:
    run(server, "--network", "app", "--name", "web")
    two = run(server, "--network", "app")
    os.kill(eventually(lambda: resolver(server), what="a resolver"), signal.SIGKILL)
    eventually(lambda: len(lookup(server, two, "web")) == 1, what="names are back", deadline=20)
    server.kill()
    os.kill(eventually(lambda: resolver(server), what="a resolver"), signal.SIGKILL)
    server.start()
    eventually(lambda: len(lookup(server, two, "web")) == 1, what="names are back", deadline=20)


def test_it_ends_with_the_last_container_and_the_daemon(server: NetnsDaemon) -> None:
    one = run(server, "--network", "app")
    assert resolver(server)
    pid = int(server.docker("inspect", "-f", "{{.State.Pid}}", one).stdout)
    server.kill()
    os.kill(pid, signal.SIGKILL)  # from outside, while there is no daemon
    eventually(lambda: not resolver(server), what="the resolver has ended")
    server.start()
