"""Too few descriptors in the daemon, in the launcher, in a monitor: what needs more of them
fails and says so, everything else goes on, and nothing is lost of what was open."""

from __future__ import annotations

import contextlib
import itertools
import resource
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.errors import ResourceExhausted, Unavailable
from tests.faults import steps
from tests.faults.inventory import opened
from tests.faults.machine import BUSYBOX, IMAGE, SLEEPER, Machine, attempt
from tests.faults.sample import sampled
from tests.support import eventually

_STOCK = 2  # network namespaces that the daemon has made ahead


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
    before = _at_rest(calm)
    with limited(calm.pid, spare):
        refused = _refused(calm)
        assert calm.alive
    assert refused or spare > 1
    _works_again(calm)
    eventually(
        lambda: opened(calm.pid).total() <= before.total(),
        what=f"no more than {before}; first {opened(calm.pid)}",
    )


def _at_rest(machine: Machine) -> Counter[str]:
    """What the daemon has open when its stock of network namespaces is full and nothing is being
    deleted."""

    def found() -> Counter[str]:
        now = opened(machine.pid)
        full = sum(name.startswith("net:") for name in now.elements()) == _STOCK
        return now if full and not any("/snapshots/" in name for name in now) else Counter()

    return eventually(found, what="the daemon is at rest")


@pytest.mark.parametrize("spare", sampled(range(12), 4))
def test_the_launcher(calm: Machine, spare: int) -> None:
    """The same launcher goes on."""
    launcher = calm.launcher
    calm.spare()
    before = opened(launcher).total()
    with limited(launcher, spare):
        refused = _refused(calm)
    assert refused or spare > 2
    assert calm.launcher == launcher
    _works_again(calm)
    calm.spare()
    eventually(lambda: opened(launcher).total() <= before, what="the same descriptors")


@pytest.mark.parametrize("spare", sampled(range(8), 3))
def test_a_monitor(calm: Machine, spare: int) -> None:
    """Of a container that goes on, whatever becomes of an exec."""
    with calm.client() as client:
        one = client.containers.start(IMAGE, SLEEPER, name="one")
        steps.ready(one)
        monitor = calm.keeper(one.id)  # it has more open while it sleeps
        before = opened(monitor).total()
        with limited(monitor, spare):
            for _ in range(3):
                error = attempt(lambda: one.exec([BUSYBOX, "true"]))
                assert error is None or isinstance(error, (ResourceExhausted, Unavailable)), error
        calm.keeper(one.id)
        eventually(lambda: opened(monitor).total() <= before, what="the same descriptors")
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
