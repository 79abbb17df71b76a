"""Networks that users make, through the docker CLI, Corten's own and a real daemon."""

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
SLEEP = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"


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
    server.docker("network", "prune", "-f")
    assert server.docker("network", "ls", "-q", "-f", "type=custom").stdout == ""


def run(server: NetnsDaemon, *options: str, script: str = SLEEP) -> str:
    """Start a container with a script of busybox; its id."""
    command = ["run", "-d", *options, "tools", "/bin/busybox", "sh", "-c", script]
    return server.docker(*command).stdout.strip()


def inside(server: NetnsDaemon, container: str, *command: str, check: bool = True) -> str:
    """What busybox says in a container."""
    return server.docker("exec", container, "/bin/busybox", *command, check=check).stdout


def refusal(server: NetnsDaemon, *words: str) -> str:
    """How docker's CLI is refused."""
    done = server.docker(*words, check=False)
    assert done.returncode != 0, done
    return next(line for line in done.stderr.splitlines() if "rror" in line)


def shown(server: NetnsDaemon, *words: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(server.docker(*words).stdout)[0]
    return found


def test_a_network_is_made_shown_and_removed_as_dockerds(server: NetnsDaemon) -> None:
    options = ["--subnet", "10.9.0.0/24", "--gateway", "10.9.0.254", "--label", "a=b"]
    options += ["--ip-range", "10.9.0.128/25", "--aux-address", "h=10.9.0.130"]
    options += ["-o", "com.docker.network.driver.mtu=1400"]
    ident = server.docker("network", "create", *options, "bar").stdout.strip()
    found = shown(server, "network", "inspect", "bar")
    assert found.pop("Created")
    found.pop("EnableIPv4", None)  # newer clients see it
    assert found == {
        "Name": "bar",
        "Id": ident,
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv6": False,
        "IPAM": {
            "Driver": "default",
            "Options": {},
            "Config": [
                {
                    "Subnet": "10.9.0.0/24",
                    "IPRange": "10.9.0.128/25",
                    "Gateway": "10.9.0.254",
                    "AuxiliaryAddresses": {"h": "10.9.0.130"},
                }
            ],
        },
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": {"com.docker.network.driver.mtu": "1400"},
        "Labels": {"a": "b"},
    }
    one = run(server, "--network", "bar", "--name", "one")
    assert "mtu 1400" in inside(server, one, "ip", "link", "show", "eth0")
    members = shown(server, "network", "inspect", "bar")["Containers"]
    assert isinstance(members, dict)
    assert members[one]["Name"] == "one" and members[one]["IPv4Address"] == "10.9.0.128/24"
    two = run(server, "--network", "bar", "--ip", "10.9.0.5", "--mac-address", "02:00:00:00:00:77")
    assert "10.9.0.5/24" in inside(server, two, "ip", "-o", "addr", "show", "eth0")
    assert "02:00:00:00:00:77" in inside(server, two, "ip", "link", "show", "eth0")
    assert refusal(server, "network", "rm", "bar") == (
        f"Error response from daemon: error while removing network: network bar id {ident} has"
        " active endpoints"
    )
    assert server.docker("network", "ls", "-f", "label=a", "-q").stdout.strip() == ident[:12]
    server.docker("rm", "-f", one, two)
    assert server.docker("network", "rm", "bar").stdout == "bar\n"
    assert "10.9.0.254" not in server.run_inside("ip", "addr")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["create", "bridge"], "operation is not permitted on predefined bridge network"),
        (["create", "--driver", "nope", "x"], 'plugin "nope" not found'),
        (["create", "--driver", "host", "x"], 'only one instance of "host" network is allowed'),
        (["create", "--subnet", "172.99.0.0/33", "x"], "Invalid subnet 172.99.0.0/33"),
        (["create", "there"], "network with name there already exists"),
        (
            ["create", "--subnet", "10.8.0.0/16", "x"],
            "Pool overlaps with other one on this address space",
        ),
        (["rm", "bridge"], "bridge is a pre-defined network and cannot be removed"),
        (["rm", "nope"], "network nope not found"),
        (["connect", "nope", "cc"], "network nope not found"),
        (["connect", "there", "nope"], "No such container: nope"),
        (["connect", "there", "cc"], "endpoint with name cc already exists in network there"),
        (["connect", "--ip", "10.8.1.2", "other", "cc"], "Address already in use"),
        (["connect", "--ip", "10.8.9.9", "other", "cc"], "Invalid address 10.8.9.9"),
        (
            ["connect", "--ip", "1.2.3.4", "chosen", "cc"],
            "user specified IP address is supported only when connecting to networks with user"
            " configured subnets",
        ),
        (["connect", "host", "cc"], "container cannot be disconnected from host network"),
        (["connect", "none", "cc"], "container cannot be connected to multiple networks"),
        (["disconnect", "other", "cc"], "is not connected to network other"),
    ],
)
def test_what_is_refused_is_refused_in_dockerds_words(
    server: NetnsDaemon, words: list[str], answer: str
) -> None:
    for name, subnet in (("there", "10.7.0.0/24"), ("other", "10.8.1.0/24")):
        server.docker("network", "create", "--subnet", subnet, name)
    server.docker("network", "create", "chosen")
    run(server, "--network", "there", "--name", "cc")
    run(server, "--network", "other", "--ip", "10.8.1.2")
    assert answer in refusal(server, "network", *words)


def test_a_network_that_is_not_there_is_named_at_the_start(server: NetnsDaemon) -> None:
    done = server.docker("run", "--rm", "--network", "nope", "tools", "true", check=False)
    assert done.returncode == 125
    assert "network nope not found" in done.stderr


def test_containers_of_one_network_talk_and_those_of_two_do_not(server: NetnsDaemon) -> None:
    for name in ("a", "b"):
        server.docker("network", "create", name)
    one = run(server, "--network", "a", script=SERVE)
    two = run(server, "--network", "a")
    three = run(server, "--network", "b")
    address = _address(server, one, "a")

    def fetch(container: str) -> str:
        words = ("timeout", "1", "wget", "-q", "-O", "-", f"http://{address}/index.html")
        return inside(server, container, *words, check=False).strip()

    eventually(lambda: fetch(two) == "hello", what="the neighbour answers")
    assert fetch(three) == ""
    server.docker("network", "connect", "a", three)
    eventually(lambda: fetch(three) == "hello", what="it has become one")
    server.docker("network", "disconnect", "a", three)
    assert fetch(three) == ""


def _address(server: NetnsDaemon, container: str, network: str) -> str:
    layout = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
    return server.docker("inspect", "-f", layout, container).stdout.strip()


def test_connect_and_disconnect_while_it_runs(server: NetnsDaemon) -> None:
    server.docker("network", "create", "--subnet", "10.7.0.0/24", "aaa")
    server.docker("network", "create", "--subnet", "10.8.1.0/24", "zzz")
    one = run(server, "--network", "zzz", "--hostname", "one")
    assert "default via 10.8.1.1 dev eth0" in inside(server, one, "ip", "route")
    server.docker("network", "connect", "--alias", "al", "aaa", one)
    routes = inside(server, one, "ip", "route").splitlines()
    assert "default via 10.7.0.1 dev eth1" in routes[0]
    assert sum(line.startswith("default") for line in routes) == 1
    assert [e[1] for e in _links(server, one)] == ["lo:", "eth0:", "eth1:"]
    assert "10.7.0.2\tone" in inside(server, one, "cat", "/etc/hosts")
    assert refusal(server, "network", "rm", "aaa").startswith(
        "Error response from daemon: error while removing network"
    )
    server.docker("network", "disconnect", "aaa", one)
    assert "default via 10.8.1.1 dev eth0" in inside(server, one, "ip", "route")
    assert "10.7.0.2" not in inside(server, one, "cat", "/etc/hosts")
    assert [e[1] for e in _links(server, one)] == ["lo:", "eth0:"]
    server.docker("network", "disconnect", "zzz", one)
    assert [e[1] for e in _links(server, one)] == ["lo:"]
    server.docker("network", "connect", "zzz", one)
    assert "default via 10.8.1.1 dev eth0" in inside(server, one, "ip", "route")


def _links(server: NetnsDaemon, container: str) -> list[list[str]]:
    lines = inside(server, container, "ip", "-o", "link").splitlines()
    return [line.replace("@", ": ").split() for line in lines]


def test_several_networks_survive_a_killed_daemon_and_a_restart(server: NetnsDaemon) -> None:
    server.docker("network", "create", "--subnet", "10.7.0.0/24", "a")
    server.docker("network", "create", "--subnet", "10.8.1.0/24", "b")
    server.docker("create", "--name", "one", "--network", "a", "--ip", "10.7.0.9", "tools",
                  "/bin/busybox", "sh", "-c", SLEEP)  # fmt: skip
    server.docker("network", "connect", "--ip", "10.8.1.9", "b", "one")
    server.docker("start", "one")
    assert (_address(server, "one", "a"), _address(server, "one", "b")) == ("10.7.0.9", "10.8.1.9")
    server.kill()
    server.start()
    assert (_address(server, "one", "a"), _address(server, "one", "b")) == ("10.7.0.9", "10.8.1.9")
    assert server.run_inside("busybox", "ping", "-c1", "-W10", "10.8.1.9")
    server.docker("network", "disconnect", "a", "one")
    server.docker("restart", "-t", "1", "one")
    assert _address(server, "one", "b") == "10.8.1.9"
    assert "10.8.1.9" in inside(server, "one", "ip", "-o", "addr", "show", "eth0")


def test_dual_stack(server: NetnsDaemon) -> None:
    server.docker("network", "create", "--ipv6", "--subnet", "fd00:9::/64", "v6")
    one = run(
        server, "--network", "v6", "-p", "8080:80", script=SERVE.replace("-p 80", "-p [::]:80")
    )
    two = run(server, "--network", "v6", "--ip6", "fd00:9::77")
    assert "fd00:9::2/64" in inside(server, one, "ip", "-o", "-6", "addr", "show", "eth0")
    assert "fd00:9::77/64" in inside(server, two, "ip", "-o", "-6", "addr", "show", "eth0")
    assert "default via fd00:9::1" in inside(server, two, "ip", "-6", "route")
    url = ("timeout", "2", "wget", "-q", "-O", "-")
    eventually(
        lambda: (
            inside(server, two, *url, "http://[fd00:9::2]/index.html", check=False) == "hello\n"
        ),
        what="the neighbour answers by IPv6",
    )
    server.run_inside("ip", "addr", "replace", "2001:db8::2/64", "dev", "up0", "nodad")

    def fetch(host: str) -> str:
        page = f"http://{host}:8080/index.html"
        return server.run_inside("busybox", *url, page, check=False)

    for host in ("127.0.0.1", "[::1]", "192.0.2.2", "[2001:db8::2]"):
        eventually(lambda h=host: fetch(h) == "hello\n", what=host)  # type: ignore[misc] # bound default


def test_an_internal_network_has_no_way_out(server: NetnsDaemon) -> None:
    server.docker("network", "create", "--internal", "in")
    server.docker("network", "create", "out")
    one = run(server, "--network", "in", script=SERVE)
    two = run(server, "--network", "in")
    three = run(server, "--network", "out", "-p", "8081:80", script=SERVE)
    assert "default" not in inside(server, two, "ip", "route")
    url = ("timeout", "1", "wget", "-q", "-O", "-")
    address = _address(server, one, "in")
    eventually(
        lambda: inside(server, two, *url, f"http://{address}/index.html", check=False) == "hello\n",
        what="the neighbour",
    )
    inside(server, two, "ip", "route", "add", "default", "via", address, check=False)
    outside = _address(server, three, "out")
    assert inside(server, two, *url, f"http://{outside}/index.html", check=False) == ""


def test_ranges_of_ports(server: NetnsDaemon) -> None:
    server.docker("network", "create", "n")
    one = run(server, "-p", "8000-8005:80", "-p", "9000-9001:90-91/udp", "--network", "n")
    assert server.docker("port", one, "80").stdout.splitlines()[0] == "0.0.0.0:8000"
    assert server.docker("port", one, "91/udp").stdout.splitlines()[0] == "0.0.0.0:9001"
    two = run(server, "-p", "8000-8005:80")
    assert server.docker("port", two, "80").stdout.splitlines()[0] == "0.0.0.0:8001"


def test_cortens_own_command_line(server: NetnsDaemon) -> None:
    ident = server.corten("network", "create", "--subnet", "10.7.0.0/24", "--label", "x=y", "n")
    assert server.corten("network", "ls", "-q", "--filter", "type=custom").stdout == (
        ident.stdout[:12] + "\n"
    )
    server.corten("network", "create", "m")
    made = server.corten(
        "run", "-d", "--name", "one", "--network", "name=n,ip=10.7.0.5,alias=al", "--network", "m",
        "tools", "/bin/busybox", "sh", "-c", SLEEP,
    )  # fmt: skip
    found = json.loads(server.corten("network", "inspect", "n").stdout)[0]
    assert found["Containers"][made.stdout.strip()]["IPv4Address"] == "10.7.0.5/24"
    seen = json.loads(server.corten("inspect", "one").stdout)[0]["NetworkSettings"]["Networks"]
    assert sorted(seen) == ["m", "n"] and seen["n"]["Aliases"] == ["al"]
    server.corten("network", "disconnect", "n", "one")
    server.corten("network", "connect", "--ip", "10.7.0.6", "n", "one")
    assert _address(server, "one", "n") == "10.7.0.6"
    server.corten("rm", "-f", "one")
    assert server.corten("network", "rm", "m").stdout == "m\n"
    assert server.corten("network", "prune", "-f", "--filter", "label=x").stdout == (
        "Deleted Networks:\nn\n\n"
    )
