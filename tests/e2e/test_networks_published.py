"""Published ports and networks of containers through the real docker CLI and daemon."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator

import pytest

from tests.e2e.network_lab import NetnsDaemon
from tests.support import eventually

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="needs a docker CLI")

SERVE = "echo hello >/index.html && exec busybox httpd -f -p 80 -h /"


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
        made.run_inside("ip", "addr", "add", "192.0.2.2/24", "dev", "up0")
        for link in ("up0", "up1"):
            made.run_inside("ip", "link", "set", link, "up")
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def clean(server: NetnsDaemon) -> Iterator[None]:
    yield
    names = server.docker("ps", "-aq").stdout.split()
    if names:
        server.docker("rm", "-f", *names)


def run(server: NetnsDaemon, *options: str, script: str = SERVE) -> str:
    """Start a container with a script of busybox; its id."""
    command = ["run", "-d", *options, "tools", "/bin/busybox", "sh", "-c", script]
    return server.docker(*command).stdout.strip()


def fetch(server: NetnsDaemon, url: str) -> str:
    """What the page at a URL says, asked from the daemon's host."""
    return server.run_inside("busybox", "wget", "-q", "-O", "-", url, check=False).strip()


def answers(server: NetnsDaemon, url: str) -> None:
    """The server in the container answers, once it has started."""
    eventually(lambda: fetch(server, url) == "hello", what=url)


def test_a_published_port_answers_on_every_address_of_the_host(server: NetnsDaemon) -> None:
    one = run(server, "-p", "8080:80")
    for host in ("127.0.0.1", "[::1]", "192.0.2.2"):
        answers(server, f"http://{host}:8080/index.html")
    assert server.docker("port", one).stdout.splitlines() == [
        "80/tcp -> 0.0.0.0:8080",
        "80/tcp -> [::]:8080",
    ]


def test_it_goes_on_while_the_daemon_is_dead(server: NetnsDaemon) -> None:
    run(server, "-p", "8080:80")
    answers(server, "http://127.0.0.1:8080/index.html")
    server.kill()
    for host in ("127.0.0.1", "[::1]", "192.0.2.2"):
        assert fetch(server, f"http://{host}:8080/index.html") == "hello"
    server.start()
    for host in ("127.0.0.1", "[::1]", "192.0.2.2"):
        assert fetch(server, f"http://{host}:8080/index.html") == "hello"


def test_a_port_in_use_is_named_with_its_holder(server: NetnsDaemon) -> None:
    one = run(server, "-p", "8080:80")
    refused = server.docker(
        "run", "-d", "-p", "8080:80", "tools", "/bin/busybox", "true", check=False
    )
    assert refused.returncode == 125
    assert "0.0.0.0:8080/tcp is already in use" in refused.stderr
    assert one[:12] in refused.stderr


def test_a_stopped_container_frees_its_port(server: NetnsDaemon) -> None:
    one = run(server, "-p", "8080:80")
    server.docker("stop", "-t", "0", one)
    two = run(server, "-p", "8080:80")
    answers(server, "http://127.0.0.1:8080/index.html")
    server.docker("rm", "-f", two)
    server.docker("start", one)
    answers(server, "http://127.0.0.1:8080/index.html")


def test_a_port_at_loopback_only(server: NetnsDaemon) -> None:
    run(server, "-p", "127.0.0.1:8081:80")
    answers(server, "http://127.0.0.1:8081/index.html")
    assert fetch(server, "http://192.0.2.2:8081/index.html") == ""
    assert fetch(server, "http://[::1]:8081/index.html") == ""


def test_any_port(server: NetnsDaemon) -> None:
    one = run(server, "-p", "80")
    shown = server.docker("port", one, "80/tcp").stdout.splitlines()[0]
    number = int(shown.rpartition(":")[2])
    answers(server, f"http://127.0.0.1:{number}/index.html")


def test_a_container_sees_dockers_network(server: NetnsDaemon) -> None:
    one = run(server, "--hostname", "web", script="sleep 1000")
    inspected = json.loads(server.docker("inspect", one).stdout)[0]["NetworkSettings"]
    address = inspected["Networks"]["bridge"]["IPAddress"]

    def inside(*command: str) -> str:
        return server.docker("exec", one, "/bin/busybox", *command).stdout

    assert f"inet {address}/16 brd" in inside("ip", "addr", "show", "eth0")
    assert f"default via {inspected['Networks']['bridge']['Gateway']}" in inside("ip", "route")
    assert f"{address}\tweb" in inside("cat", "/etc/hosts")
    assert inside("cat", "/etc/hostname") == "web\n"
    assert inside("hostname") == "web\n"
    assert "nameserver" in inside("cat", "/etc/resolv.conf")


def test_none_and_host(server: NetnsDaemon) -> None:
    links = ("/bin/busybox", "ip", "-o", "link")
    nothing = server.docker("run", "--rm", "--network", "none", "tools", *links).stdout
    assert [line.split()[1] for line in nothing.splitlines()] == ["lo:"]
    assert "UP" in nothing
    whole = server.docker("run", "--rm", "--network", "host", "tools", *links).stdout
    assert "up0" in whole


def test_containers_reach_each_other(server: NetnsDaemon) -> None:
    one = run(server)
    shown = json.loads(server.docker("inspect", one).stdout)[0]
    address = shown["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    asked = ["run", "--rm", "tools", "/bin/busybox", "wget", "-q", "-O", "-"]
    url = f"http://{address}/index.html"
    eventually(lambda: server.docker(*asked, url, check=False).stdout == "hello\n", what=url)
