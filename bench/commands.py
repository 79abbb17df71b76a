"""Rows of the command line against docker's: ``run --rm`` and ``exec``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.image import NAME
from bench.peers import Peers, output, quiet
from bench.sampling import Row, interleave

PROGRAMS = Path(__file__).resolve().parent.parent / ".dev/bin"


def command(argv: list[str], **environment: str) -> Callable[[], None]:
    env = {**os.environ, **environment}
    return lambda: quiet(argv, env=env)


def rows(peers: Peers, samples: int) -> Iterator[Row]:
    corten = str(PROGRAMS / "corten")
    state = {"CORTEN_STATE": str(peers.ours().state)}
    host = {"DOCKER_HOST": peers.docker_host()}
    version = "docker " + output("/usr/bin/docker", "--version").split()[2].rstrip(",")
    docker = "/usr/bin/docker"
    ours = command([corten, "run", "--rm", NAME, "true"], **state)
    theirs = command([docker, "run", "--rm", NAME, "true"], **host)
    name = "corten run --rm IMAGE true, default bridge"
    yield interleave(Row(name, "ms", version, 0.12), ours, theirs, samples)
    sleep = [NAME, "sleep", "100000"]
    command([corten, "run", "-d", "--name", "bench-exec", *sleep], **state)()
    command([docker, "run", "-d", "--name", "bench-exec", *sleep], **host)()
    ours = command([corten, "exec", "bench-exec", "true"], **state)
    theirs = command([docker, "exec", "bench-exec", "true"], **host)
    yield interleave(Row("corten exec C true", "ms", version, 0.25), ours, theirs, samples)
    command([corten, "rm", "-f", "bench-exec"], **state)()
    command([docker, "rm", "-f", "bench-exec"], **host)()
