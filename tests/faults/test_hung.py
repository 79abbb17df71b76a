"""Processes of ours that stand still (SIGSTOP: a dead disk below them would do the same):
deadlines end the waiting, what was begun is taken back when they go on, others don't notice."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.client.records import Container
from corten.cri.pb import cri_pb2 as pb
from corten.errors import DeadlineExceeded, Unavailable
from tests.cri.client import Pod
from tests.faults import steps
from tests.faults.machine import BUSYBOX, IMAGE, SLEEPER, Machine, children, name_of
from tests.support import eventually


class Hasty(Machine):
    """A machine that has little patience."""

    def __init__(self) -> None:
        super().__init__()
        self.config.write_text(self.config.read_text() + "[engine]\nstart_deadline = 3.0\n")

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "CRASHING_PATIENCE": "3"}


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Hasty()
    try:
        yield made.set_up()
    finally:
        made.close()


def test_a_launcher_that_hangs(calm: Machine) -> None:
    with calm.client() as client:
        one = client.containers.create(IMAGE, SLEEPER, name=steps.NAME)
        launcher = calm.launcher
        os.kill(launcher, signal.SIGSTOP)  # it is killed, so nobody need let it go on
        with pytest.raises((DeadlineExceeded, Unavailable)) as caught:
            one.start()
        assert caught.value.hint
        assert one.reload().status == "created"
        steps.works(started(one))
        steps.ends(one)


def started(one: Container) -> Container:
    """Tried again, as the error says: the next launcher may take longer than our patience."""

    def tried() -> bool:
        try:
            one.start()
        except (DeadlineExceeded, Unavailable):
            return False
        return True

    eventually(tried, what="a start with the next launcher")
    return one


def test_a_launcher_that_hangs_while_the_daemon_is_killed(calm: Machine) -> None:
    """It is ended, because it might still do what it was told."""
    with calm.client() as client:
        one = client.containers.start(IMAGE, SLEEPER, name=steps.NAME)
    launcher = calm.launcher
    os.kill(launcher, signal.SIGSTOP)
    calm.kill()
    calm.start()
    assert calm.launcher != launcher
    with calm.client() as client:
        steps.works(client.containers.get(one.id))


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that stands still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def hung(machine: Machine, object_id: str) -> Iterator[int]:
    """A container's monitor, keeper and attendant, stands still: one that was woken a moment ago
    answers for some time without its keeper."""
    keeper = machine.monitor(object_id)
    with stopped(keeper), contextlib.ExitStack() as others:
        eventually(lambda: _state(keeper) == "T", what="it stands still")
        for child in children(keeper):
            if name_of(child)[7:] == object_id[:8]:
                others.enter_context(stopped(child))
        yield keeper


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_monitor_that_hangs_while_the_daemon_is_killed(calm: Machine) -> None:
    """The daemon serves everything else, and finds it again when it goes on."""
    with calm.client() as client, calm.cri() as cri:
        one = client.containers.start(IMAGE, SLEEPER, name="one")
        other = client.containers.start(IMAGE, SLEEPER, name="other")
        pod = cri.run_pod("pod")
    calm.kill()
    with hung(calm, one.id), stopped(calm.monitor(pod.id, "pods")):
        calm.start()
        with calm.client() as client:
            steps.works(client.containers.get(other.id))
            assert client.containers.get(one.id).status == "running"
            with pytest.raises(DeadlineExceeded) as caught:
                client.containers.get(one.id).exec([BUSYBOX, "true"])
            assert caught.value.hint
    with calm.client() as client, calm.cri() as cri:
        again = client.containers.get(one.id)
        steps.works(again)
        steps.ends(again)
        found = Pod(cri, pod.id, pod.config)
        assert found.status().state == pb.SANDBOX_READY
        assert cri.output(found.sleeper(), "hostname")


@pytest.mark.parametrize("restarted", [False, True])
def test_a_container_whose_monitor_hangs_is_removed(calm: Machine, restarted: bool) -> None:
    """By force: the monitor is killed, and the container is lost."""
    with calm.client() as client:
        one = client.containers.start(IMAGE, SLEEPER, name=steps.NAME)
    with hung(calm, one.id):
        if restarted:
            calm.kill()
            calm.start()
        with calm.client() as client:
            client.containers.get(one.id).remove(force=True)
            assert calm.container(client, steps.NAME) is None
            steps.runs_again(client)


def test_a_monitor_that_is_killed_while_it_hangs(calm: Machine) -> None:
    """Also when the daemon found it hanging."""
    with calm.client() as client:
        one = client.containers.start(IMAGE, SLEEPER, name=steps.NAME)
    calm.kill()
    with hung(calm, one.id) as monitor:
        calm.start()
        os.kill(monitor, signal.SIGKILL)
        with calm.client() as client:
            assert client.containers.get(one.id).wait() == 137
