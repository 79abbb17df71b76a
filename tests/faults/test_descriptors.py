"""Too few descriptors in the daemon, in the launcher, in a monitor: what needs more of them
fails and says so, everything else goes on, and nothing is lost of what was open."""

from __future__ import annotations

import contextlib
import itertools
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.errors import ResourceExhausted, Unavailable
from tests.faults import steps
from tests.faults.inventory import descriptors
from tests.faults.machine import BUSYBOX, IMAGE, SLEEPER, Machine, attempt
from tests.faults.sample import sampled
from tests.support import eventually


@contextlib.contextmanager
def limited(pid: int, spare: int) -> Iterator[None]:
    """A process that may open ``spare`` more descriptors than it has now."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    free = (number for number in itertools.count() if number not in used)
    # Not below what is open: poll refuses more than the limit.
    limit = max(next(itertools.islice(free, spare, None)), len(used) + 1)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def _life(machine: Machine) -> None:
    with machine.client() as client:
        one = client.containers.start(IMAGE, SLEEPER, name="life")
        assert one.exec([BUSYBOX, "true"]).code == 0


def _refused(machine: Machine) -> bool:
    """A container's start and an exec; whether there was an error, which says why."""
    error = attempt(lambda: _life(machine))
    if error is None:
        return False
    assert isinstance(error, (ResourceExhausted, Unavailable)), repr(error)
    assert error.hint, repr(error)
    return True


def _works_again(machine: Machine) -> None:
    with machine.client() as client:
        life = machine.container(client, "life")
        if life is not None:
            life.remove(force=True)
    _life(machine)
    with machine.client() as client:
        client.containers.get("life").remove(force=True)


@pytest.mark.parametrize("spare", sampled(range(1, 24, 2), 5))
def test_the_daemon(calm: Machine, spare: int) -> None:
    before = descriptors(calm.pid)
    with limited(calm.pid, spare):
        refused = _refused(calm)
        assert calm.alive
    assert refused or spare > 1
    _works_again(calm)
    eventually(
        lambda: descriptors(calm.pid) <= before,
        what=f"{before} descriptors: {descriptors(calm.pid)}",
    )


@pytest.mark.parametrize("spare", sampled(range(12), 4))
def test_the_launcher(calm: Machine, spare: int) -> None:
    """The same launcher goes on."""
    launcher = calm.launcher
    before = descriptors(launcher)
    with limited(launcher, spare):
        refused = _refused(calm)
    assert refused or spare > 2
    assert calm.launcher == launcher
    _works_again(calm)
    eventually(lambda: descriptors(launcher) <= before, what="the same descriptors")


@pytest.mark.parametrize("spare", sampled(range(8), 3))
def test_a_monitor(calm: Machine, spare: int) -> None:
    """Of a container that goes on, whatever becomes of an exec."""
    with calm.client() as client:
        one = client.containers.start(IMAGE, SLEEPER, name="one")
        steps.ready(one)
        monitor = calm.monitor(one.id)
        before = descriptors(monitor)
        with limited(monitor, spare):
            for _ in range(3):
                error = attempt(lambda: one.exec([BUSYBOX, "true"]))
                assert error is None or isinstance(error, (ResourceExhausted, Unavailable)), error
        eventually(lambda: descriptors(monitor) <= before, what="the same descriptors")
        steps.works(one)
        steps.ends(one)


@pytest.mark.parametrize("name", ["corten.sock", "docker.sock", "cri.sock"])
def test_more_clients_than_descriptors(calm: Machine, name: str) -> None:
    """Those that are connected are served; when some go, others are."""
    with calm.client() as client, contextlib.ExitStack() as held:
        with limited(calm.pid, 8):
            for _ in range(20):
                sock = held.enter_context(socket.socket(socket.AF_UNIX))
                sock.settimeout(10)
                sock.connect(str(calm.state / name))
            assert client.version()
            assert calm.alive
        held.close()
        steps.runs_again(client)
    assert calm.docker("version").stdout
    with calm.cri() as cri:
        cri.remove_all()
