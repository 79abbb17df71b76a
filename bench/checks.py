"""CPU of the whole machine while 50 containers are checked each second."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from bench.dockerhttp import by_all
from bench.image import NAME
from bench.peers import Peers, output
from bench.sampling import Row

COUNT = 50
WINDOW = 10.0  # seconds of one sample
_SECOND = 1_000_000_000
CHECKED = {
    "Image": NAME,
    "Cmd": ["sleep", "100000"],
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": _SECOND, "Timeout": 5 * _SECOND},
}


def busy() -> float:
    """Seconds of CPU that anything has used since the machine started."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq = (int(word) for word in words[:7])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def window() -> float:
    """Per cent of a processor."""
    before, began = busy(), time.monotonic()
    time.sleep(WINDOW)
    return 100 * (busy() - before) / (time.monotonic() - began)


def rows(peers: Peers, samples: int) -> Iterator[Row]:
    version = "docker " + output("/usr/bin/docker", "--version").split()[2].rstrip(",")
    row = Row(f"CPU with {COUNT} health checks a second", "%", version, 0.15)
    for host, sink in (
        (peers.ours().docker_host, row.ours),
        (peers.docker_host(), row.theirs),
    ):
        by_all(host, COUNT, lambda docker, n: docker.start(f"checked{n}", CHECKED))
        time.sleep(WINDOW)
        sink.extend(window() for _ in range(samples))
        by_all(host, COUNT, lambda docker, n: docker.remove(f"checked{n}"))
    yield row
