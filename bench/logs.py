"""Rows of logs: writing lines of 100 bytes, and the end of a long log."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from bench.commands import PROGRAMS, command
from bench.dockerhttp import Docker
from bench.image import NAME
from bench.peers import Peers, output
from bench.sampling import Row, interleave

LINE = "x" * 99
WRITTEN = 100_000_000  # bytes of one sample
LONG = 1_000_000_000
_numbers = itertools.count()


def writes(size: int) -> dict[str, object]:
    return {"Image": NAME, "Cmd": ["sh", "-c", f"yes {LINE} | head -c {size}"]}


def writer(host: str) -> Callable[[], None]:
    """Create, start and wait for a container that writes; removed at the next call."""
    docker = Docker(host)

    def action() -> None:
        name = docker.start(f"logs{next(_numbers)}", writes(WRITTEN))
        docker.wait(name)
        docker.remove(name)

    return action


def long_log(host: str, name: str) -> None:
    docker = Docker(host)
    docker.wait(docker.start(name, writes(LONG)))
    docker.close()


def rows(peers: Peers, samples: int) -> Iterator[Row]:
    version = "docker " + output("/usr/bin/docker", "--version").split()[2].rstrip(",")
    ours, theirs = peers.ours().docker_host, peers.docker_host()
    row = Row("a container writes 100 MB of lines of 100 bytes", "ms", version, 0.5)
    yield interleave(row, writer(ours), writer(theirs), samples)
    for host in (ours, theirs):
        long_log(host, "longlog")
    words = ["logs", "--tail", "10", "longlog"]
    corten = command([str(PROGRAMS / "corten"), *words], CORTEN_STATE=str(peers.ours().state))
    docker = command(["/usr/bin/docker", *words], DOCKER_HOST=theirs)
    yield interleave(Row("logs --tail 10 of a 1 GB log", "ms", version, 0.1), corten, docker, 15)
    for host in (ours, theirs):
        Docker(host).remove("longlog")
