"""What the engine's tests share: an image of this machine's programs, and a client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from corten.client import Client
from corten.client.records import Container
from tests.harness import Daemon

IMAGE = "engine-test:1"
PROGRAMS = ("sh", "cat", "id", "sleep", "env", "stat", "ls", "seq", "true", "touch", "kill")
NO_NETWORK = {"network": "none"}


def connect(daemon: Daemon, tenant: str = "docker") -> Client:
    """A client of the daemon."""
    return Client(str(daemon.state / "corten.sock"), tenant=tenant)


def make_image(daemon: Daemon) -> None:
    """Make the image in the daemon's store."""
    client = connect(daemon)
    client.images.from_host(IMAGE, PROGRAMS, cmd=("sh",))
    client.close()


def shell(client: Client, script: str, **config: Any) -> Container:
    """Start a container that runs a script, without a network unless one is asked for."""
    config.setdefault("namespaces", NO_NETWORK)
    return client.containers.start(IMAGE, ["sh", "-c", script], **config)


def output(client: Client, script: str, **config: Any) -> str:
    """Run a script to its end; what it wrote. It must end with 0."""
    config.setdefault("namespaces", NO_NETWORK)
    done = client.containers.run(IMAGE, ["sh", "-c", script], **config)
    assert done.code == 0, done
    return done.stdout.decode()


@contextmanager
def removed(container: Container) -> Iterator[Container]:
    """The container is removed at the end, running or not."""
    try:
        yield container
    finally:
        container.remove(force=True)
