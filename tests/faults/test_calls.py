"""Launcher, monitor, init and their like killed at each system call of a step: what is shown
afterwards is true, the step can be done again, and nothing is leaked. (The processes are those of
a real start; a sample of the calls in CI, every one in ``make soak``.)"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from corten.client.records import Container
from corten.cri.pb import cri_pb2 as pb
from corten.errors import CortenError
from tests.cri.client import Pod, linux
from tests.faults import steps
from tests.faults.aim import NEVER, shoot
from tests.faults.machine import Machine, attempt, children
from tests.support import eventually

_SAMPLE = 2


class Target(NamedTuple):
    """Who is killed in which step.

    Attributes:
        root: the process that the tracer attaches to; ``generation``: see ``tracer``.
        check: what must hold, and that the step can be done again; leaves nothing behind.
    """

    prepare: Callable[[Machine], Any]
    root: Callable[[Machine, Any], int]
    generation: int
    act: Callable[[Machine, Any], Any]
    check: Callable[[Machine, Any], None]


def _launcher(machine: Machine, _given: Any) -> int:
    return machine.launcher


def _template(machine: Machine, _given: Any) -> int:
    """The process that all monitors are forked from."""
    return eventually(lambda: machine.named("corten-template"), what="a template")[0]


def _spare(machine: Machine, _given: Any) -> int:
    return machine.spare()


def _spare_attendant(machine: Machine, _given: Any) -> int:
    return children(machine.spare())[0]


def _monitor(machine: Machine, name: str) -> int:
    """The keeper of a container that is asleep: what comes wakes it."""
    return machine.keeper(name)


def _pod_monitor(machine: Machine, name: str) -> int:
    return machine.monitor(name, "pods")


def _true_state(container: Container) -> str:
    """The state that is shown once everybody has noticed; one that runs really does."""

    def known() -> str:
        try:
            if container.reload().status == "running":
                steps.works(container)
        except (AssertionError, OSError, CortenError):
            return ""  # it has just ended, which nobody has noticed yet
        return container.status

    return eventually(known, what="a state that is true")


def _startable(machine: Machine, name: str) -> None:
    """It runs, or did, or never did and says why; then it can be started."""
    with machine.client() as client:
        found = client.containers.get(name)
        status = _true_state(found)
        state = found.attrs.get("state", {})
        if status == "exited":
            assert state["exit_code"] == 137, state
        elif status == "created":
            assert "error" in state, state
        if status != "running":
            eventually(lambda: attempt(found.start) is None, what="it starts")
        steps.works(found)
        steps.ends(found)


def _usable(machine: Machine, name: str) -> None:
    """An exec was interrupted. The container runs on, or is lost with its monitor."""
    with machine.client() as client:
        found = client.containers.get(name)
        if _true_state(found) == "exited":
            assert found.attrs["state"]["reason"] == "monitor-lost"
            found.start()
        steps.works(found)
        steps.ends(found)


def _ended(machine: Machine, name: str) -> None:
    """It has ended, by itself or with its monitor."""
    with machine.client() as client:
        found = client.containers.get(name)
        assert found.wait() in (5, 137)
        state = found.reload().attrs["state"]
        assert state["status"] == "exited"
        assert state["exit_code"] == 5 or state["reason"] == "monitor-lost", state
        steps.works(found.start())
        steps.ends(found)


def _removed(machine: Machine, _given: Any) -> None:
    with machine.client() as client:
        found = machine.container(client, steps.NAME)
        if found is not None:
            found.remove(force=True)
        steps.runs_again(client)


def _shared_pod(machine: Machine, _given: Any = None) -> str:
    config = pb.PodSandboxConfig()
    config.CopyFrom(steps.POD)
    config.linux.CopyFrom(linux(pid=pb.POD))
    with machine.cri() as cri:
        made: str = cri.RunPodSandbox(pb.RunPodSandboxRequest(config=config)).pod_sandbox_id
        return made


def _pod_ready(machine: Machine, given: Any) -> None:
    """A kubelet's retry: a pod that is not ready is removed first."""
    with machine.cri() as cri:
        for item in cri.ListPodSandbox(pb.ListPodSandboxRequest()).items:
            _ready_or_not(Pod(cri, item.id, steps.POD))
        cri.remove_all()
        made = Pod(cri, eventually(lambda: _attempt_pod(machine), what="a pod"), steps.POD)
        assert cri.output(made.sleeper(), "hostname") == "pod"
        cri.remove_all()
    assert machine.leases() == []


def _ready_or_not(pod: Pod) -> None:
    """One that is shown as ready is."""
    if attempt(pod.sleeper) is not None:
        eventually(lambda: pod.status().state == pb.SANDBOX_NOTREADY, what="not ready")


def _attempt_pod(machine: Machine) -> str:
    """Another launcher may not be there yet."""
    try:
        return _shared_pod(machine)
    except Exception:
        return ""


def _nothing(_machine: Machine) -> None:
    """Needs nothing."""


def _stop_pod(machine: Machine, pod_id: str) -> None:
    with machine.cri() as cri:
        cri.StopPodSandbox(pb.StopPodSandboxRequest(pod_sandbox_id=pod_id))


TARGETS = {
    "launcher, start": Target(steps._created, _launcher, 0, steps._start, _startable),
    "template, start": Target(steps._created, _template, 0, steps._start, _startable),
    "keeper, start": Target(steps._created, _spare, 0, steps._start, _startable),
    "attendant, start": Target(steps._created, _spare_attendant, 0, steps._start, _startable),
    "init, start": Target(steps._created, _spare_attendant, 1, steps._start, _startable),
    "keeper, exec": Target(steps._running, _monitor, 0, steps._exec, _usable),
    "attendant, exec": Target(steps._running, _monitor, 1, steps._exec, _usable),
    "process, exec": Target(steps._running, _monitor, 2, steps._exec, _usable),
    "keeper, end": Target(steps._running, _monitor, 0, steps._end, _ended),
    "attendant, end": Target(steps._running, _monitor, 1, steps._end, _ended),
    "keeper, stop": Target(steps._running, _monitor, 0, steps._stop, _ended),
    "attendant, stop": Target(steps._running, _monitor, 1, steps._stop, _ended),
    "keeper, remove": Target(steps._running, _monitor, 0, steps._remove, _removed),
    "attendant, remove": Target(steps._running, _monitor, 1, steps._remove, _removed),
    "launcher, pod": Target(_nothing, _launcher, 0, _shared_pod, _pod_ready),
    "monitor, pod": Target(_nothing, _launcher, 1, _shared_pod, _pod_ready),
    "reaper, pod": Target(_nothing, _launcher, 2, _shared_pod, _pod_ready),
    "monitor, pod's stop": Target(_shared_pod, _pod_monitor, 0, _stop_pod, _pod_ready),
}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", TARGETS)
def test_killed_at_a_system_call(calm: Machine, name: str, seed: int) -> None:
    target = TARGETS[name]
    calls = _shoot(calm, target, NEVER)
    assert calls > 2
    for when in _moments(calls, f"{seed} {name}"):
        print(f"{name}: call {when} of {calls}")
        _shoot(calm, target, when)


def _moments(calls: int, seed: str) -> list[int]:
    if os.environ.get("CORTEN_SOAK"):
        return list(range(1, calls + 1))
    return random.Random(seed).sample(range(1, calls + 1), min(calls, _SAMPLE))


def _shoot(machine: Machine, target: Target, when: int) -> int:
    """One kill; returns how many calls were counted."""
    given = target.prepare(machine)
    root = target.root(machine, given)
    shot = shoot(root, target.generation, when, lambda: target.act(machine, given))
    print(f"  killed at call {shot.killed}; {shot.error!r}")
    if isinstance(shot.error, CortenError):
        assert shot.error.hint, repr(shot.error)
    target.check(machine, given)
    machine.settled()
    return shot.calls
