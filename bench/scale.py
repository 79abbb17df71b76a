"""Rows with 200 containers: how fast they start, what they cost, how a daemon takes them over."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.dockerhttp import Docker, by_all
from bench.image import NAME
from bench.memory import pss
from bench.outside import HOST, Outside
from bench.peers import Peers, listens, output
from bench.sampling import Row
from tests.support import eventually

COUNT = int(os.environ.get("CORTEN_BENCH_COUNT", "200"))
PORT = 20000
SLEEP: dict[str, object] = {"Image": NAME, "Cmd": ["sleep", "100000"]}
_ASKING = Path(__file__).with_name("asking.py")


class Side:
    """One engine with what the rows do to it."""

    def __init__(self, host: str, words: tuple[str, ...], restart: Callable[[], object]) -> None:
        self.host = host
        self.words = words
        self.restart = restart

    def start_all(self, *, ports: bool = False) -> float:
        """Containers per second."""
        began = time.monotonic()
        by_all(self.host, COUNT, lambda d, n: d.start(f"many{n}", served(n) if ports else SLEEP))
        return COUNT / (time.monotonic() - began)

    def remove_all(self) -> None:
        by_all(self.host, COUNT, lambda d, n: d.remove(f"many{n}"))

    def running(self) -> int:
        docker = Docker(self.host)
        try:
            return len(docker.ask("GET", "/containers/json"))
        finally:
            docker.close()

    def restarted(self, outside: Outside) -> tuple[float, float]:
        """(ms until a new daemon serves all, share of the requests that were answered)."""
        asking = outside.spawn(sys.executable, str(_ASKING), HOST, str(PORT))
        assert asking.stdout is not None
        asking.stdout.readline()  # the first was answered
        began = time.monotonic()
        self.restart()
        eventually(lambda: self.running() == COUNT, deadline=120)
        eventually(lambda: all(listens(HOST, PORT + n) for n in range(COUNT)), deadline=120)
        passed = (time.monotonic() - began) * 1000
        asking.terminate()
        answered, asked = (int(word) for word in asking.communicate()[0].split())
        return passed, answered / asked


def served(number: int) -> dict[str, object]:
    """A container with a web server at a published port."""
    return {
        "Image": NAME,
        "Cmd": ["httpd", "-f", "-p", "80", "-h", "/etc"],
        "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": str(PORT + number)}]}},
    }


def rows(peers: Peers, samples: int) -> Iterator[Row]:
    version = "docker " + output("/usr/bin/docker", "--version").split()[2].rstrip(",")
    daemon = peers.ours()
    ours = Side(daemon.docker_host, (str(peers.base / "corten"),), daemon.restart)
    theirs = Side(peers.docker_host(), ("dockerd", "containerd"), peers.restart_docker)
    name = f"{COUNT} containers on the default bridge by 8 clients at once"
    rate = Row(name, "/s", version, 0.17, better="more")
    memory = Row(f"memory of the whole stack with {COUNT} containers", "MB", version, 0.4)
    pairs = (ours, rate.ours, memory.ours), (theirs, rate.theirs, memory.theirs)
    for _ in range(samples):
        for side, rates, sizes in pairs:
            rates.append(side.start_all())
            sizes.append(pss(side.words))
            side.remove_all()
    yield rate
    yield memory
    yield from restarts(ours, theirs, version, samples)


def restarts(ours: Side, theirs: Side, version: str, samples: int) -> Iterator[Row]:
    name = f"restart of the daemon with {COUNT} containers and published ports until all is served"
    time_row = Row(name, "ms", version, 0.2)
    answered = Row("share of requests answered during that restart", "", version, 1, better="more")
    with Outside() as outside:
        for side, times, shares in (
            (ours, time_row.ours, answered.ours),
            (theirs, time_row.theirs, answered.theirs),
        ):
            side.start_all(ports=True)
            for _ in range(samples):
                passed, share = side.restarted(outside)
                times.append(passed)
                shares.append(share)
            side.remove_all()
    yield time_row
    yield answered
