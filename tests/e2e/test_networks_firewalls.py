"""Other people's firewalls on the daemon's host, and the explanation of a packet's way."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.network_lab import NetnsDaemon, _hold_namespace
from tests.support import eventually

pytestmark = pytest.mark.skipif(
    shutil.which("iptables") is None, reason="needs iptables (over nf_tables)"
)

SERVE = "echo hello >/index.html && exec busybox httpd -f -p 80 -h /"
OURS = "containers"


class Site(NetnsDaemon):
    """A daemon's host with an uplink to an outside host, 192.0.2.1."""

    def __init__(self) -> None:
        super().__init__()
        self.outside = _hold_namespace()

    def set_up(self) -> Site:
        self.start()
        from corten.client import Client

        with Client(str(self.state / "corten.sock")) as client:
            client.images.from_host("tools", ["/bin/busybox"])
        self.run_inside("ip", "link", "add", "up0", "type", "veth", "peer", "up1")
        self.run_inside("ip", "addr", "add", "192.0.2.2/24", "dev", "up0")
        self.run_inside("ip", "link", "set", "up0", "up")
        self.run_inside("ip", "link", "set", "up1", "netns", str(self.outside.pid))
        self.from_outside("ip", "addr", "add", "192.0.2.1/24", "dev", "up1")
        self.from_outside("ip", "link", "set", "up1", "up")
        return self

    def from_outside(self, *command: str) -> str:
        """What a command on the outside host prints."""
        words = ["nsenter", f"--net=/proc/{self.outside.pid}/ns/net", *command]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
        return done.stdout

    def fetch(self) -> str:
        """What the published server says to the outside."""
        url = "http://192.0.2.2:8080/index.html"
        words = ("timeout", "2", "busybox", "wget", "-q", "-O", "-", url)
        return self.from_outside(*words).strip()

    def rules(self) -> str:
        return self.run_inside("iptables", "-S")

    def close(self) -> None:
        try:
            super().close()
        finally:
            self.outside.kill()
            self.outside.wait()


@pytest.fixture
def site() -> Iterator[Site]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Site()
    try:
        yield made.set_up()
    finally:
        made.close()


def serve(site: Site) -> str:
    words = ["run", "-d", "--name", "web", "-p", "8080:80", "tools", "/bin/busybox", "sh", "-c"]
    return site.docker(*words, SERVE).stdout.strip()


def test_a_forward_policy_of_drop_is_answered_and_the_answer_taken_back(site: Site) -> None:
    """As dockerd leaves it: its chain for users, and a policy of drop."""
    for words in ("-N DOCKER-USER", "-A FORWARD -j DOCKER-USER", "-P FORWARD DROP"):
        site.run_inside("iptables", *words.split())
    before = site.rules()
    serve(site)
    eventually(lambda: site.fetch() == "hello", what="the outside gets through")
    assert f"-A DOCKER-USER -i {site.prefix}+" in site.rules()
    ping = ("busybox", "ping", "-c1", "-W2", "192.0.2.1")
    assert "1 packets received" in site.docker("exec", "web", "/bin/busybox", *ping[1:]).stdout
    site.from_outside("ip", "route", "add", "172.16.0.0/12", "via", "192.0.2.2")
    layout = "{{.NetworkSettings.IPAddress}}"
    address = site.docker("inspect", "-f", layout, "web").stdout.strip()
    direct = ("timeout", "1", "busybox", "wget", "-q", "-O", "-", f"http://{address}/index.html")
    assert site.from_outside(*direct) == ""  # what was not published stays shut
    site.docker("rm", "-f", "web")
    site.stop()
    assert site.rules() == before
    site.start()


def test_one_that_comes_later_is_seen_by_the_explanation(site: Site) -> None:
    serve(site)
    eventually(lambda: site.fetch() == "hello", what="the outside gets through")
    site.run_inside("iptables", "-P", "FORWARD", "DROP")
    assert site.fetch() == ""
    shown = site.corten("network", "explain", "outside", "web:8080").stdout  # it looks, and mends
    assert "ip filter FORWARD" in shown and shown.endswith("it arrives\n")
    eventually(lambda: site.fetch() == "hello", what="the outside gets through again")
    site.run_inside("nft", "flush", "ruleset")  # somebody starts over
    site.corten("network", "explain", "outside", "web:8080")
    eventually(lambda: site.fetch() == "hello", what="the outside gets through once more")


def test_the_way_of_a_packet(site: Site) -> None:
    site.corten("network", "create", "app")
    serve(site)
    eventually(lambda: site.fetch() == "hello", what="the server listens")
    site.docker("run", "-d", "--name", "other", "--network", "app", "tools", "/bin/busybox",
                "sleep", "1000")  # fmt: skip

    def explain(*words: str) -> tuple[int, str]:
        done = site.corten("network", "explain", *words, check=False)
        return done.returncode, done.stdout

    code, text = explain("other", "web:80")
    assert code == 1 and "DROP" in text and "kept apart" in text
    site.docker("network", "connect", "app", "web")
    code, text = explain("other", "web:80")
    assert code == 0 and "listens at 80/tcp on" in text
    code, text = explain("other", "web:81")
    assert code == 1 and "nobody listens at 81/tcp" in text
    code, text = explain("outside", "other:80")
    assert code == 1 and "only published ports" in text
    code, text = explain("other", "192.0.2.1")
    assert code == 0 and "host's address" in text
