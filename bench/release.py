"""Rows of the command line against the other ones: ctr, podman, and docker on our engine."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from bench.commands import PROGRAMS, command
from bench.image import NAME
from bench.peers import Peers, output, quiet
from bench.sampling import Row, interleave


def ctr(peers: Peers) -> Callable[[], None]:
    """``ctr run --rm`` of the image, with a network namespace without a network."""
    words = ["ctr", "-a", peers.containerd(), "-n", "bench"]
    quiet([*words, "images", "pull", "--plain-http", NAME])
    numbers = itertools.count()
    return lambda: quiet([*words, "run", "--rm", NAME, f"bench{next(numbers)}", "true"])


def rows(peers: Peers, samples: int) -> Iterator[Row]:
    corten = [str(PROGRAMS / "corten"), "run", "--rm"]
    state = {"CORTEN_STATE": str(peers.ours().state)}
    version = "containerd " + output("containerd", "--version").split()[2]
    ours = command([*corten, "--network", "none", NAME, "true"], **state)
    name = "corten run --rm --network none IMAGE true, against ctr run --rm"
    yield interleave(Row(name, "ms", version, 0.3), ours, ctr(peers), samples)
    podman = peers.podman()
    version = output("podman", "--version") + ", " + output("crun", "--version").splitlines()[0]
    ours = command([*corten, NAME, "true"], **state)
    theirs = command([*podman, "run", "--rm", NAME, "true"])
    name = "corten run --rm IMAGE true, against podman run --rm"
    yield interleave(Row(name, "ms", version, 0.25), ours, theirs, samples)
    docker = ["/usr/bin/docker", "run", "--rm", NAME, "true"]
    version = "docker " + output("/usr/bin/docker", "--version").split()[2].rstrip(",")
    ours = command(docker, DOCKER_HOST=peers.ours().docker_host)
    theirs = command(docker, DOCKER_HOST=peers.docker_host())
    name = "docker run --rm (their command line) on our engine"
    yield interleave(Row(name, "ms", version, 0.25), ours, theirs, samples)
