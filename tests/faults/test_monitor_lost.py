"""``kill -9`` of a monitor: its container has ended, nothing else notices, nothing leaks."""

from __future__ import annotations

from typing import Any

import pytest

from corten.client.records import Container
from corten.cri.pb import cri_pb2 as pb
from tests.cri.client import linux
from tests.faults.machine import BUSYBOX, COUNTER, IMAGE, SLEEPER, Machine
from tests.faults.steps import ends, works
from tests.harness import wait_gone
from tests.support import eventually

WHEN = ("while the daemon runs", "while no daemon runs")


def lose(machine: Machine, object_id: str, when: str, kind: str = "run") -> None:
    """Kill the monitor of a container or pod."""
    if when == WHEN[0]:
        machine.kill_monitor(object_id, kind)
    else:
        machine.kill()
        machine.kill_monitor(object_id, kind)
        machine.start()


def lost(container: Container) -> None:
    """It is shown as what it is."""
    assert container.wait() == 137
    state = container.reload().attrs["state"]
    assert (state["status"], state["reason"]) == ("exited", "monitor-lost")


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("options", [{}, {"tty": True}, {"runtime": "runc"}], ids=str)
def test_a_container(calm: Machine, when: str, options: dict[str, Any]) -> None:
    with calm.client() as client:
        # Its children have to go, too.
        one = client.containers.start(IMAGE, COUNTER, name="one", **options)
        other = client.containers.start(IMAGE, SLEEPER, name="other")
        pids = one.top()
    lose(calm, one.id, when)
    with calm.client() as client:
        one = client.containers.get(one.id)
        lost(one)
        for pid in pids:
            wait_gone(pid)
        works(client.containers.get(other.id))
        one.start()
        works(one)
        one.remove(force=True)
        ends(client.containers.get(other.id))


@pytest.mark.parametrize("when", WHEN)
def test_one_that_is_made_to_be_removed(calm: Machine, when: str) -> None:
    with calm.client() as client:
        one = client.containers.start(IMAGE, SLEEPER, name="one", auto_remove=True)
    lose(calm, one.id, when)
    with calm.client() as client:
        eventually(lambda: calm.container(client, "one") is None, what="it is removed")


@pytest.mark.parametrize("when", WHEN)
def test_a_paused_one(calm: Machine, when: str) -> None:
    """What is frozen has to be thawed to die."""
    with calm.client() as client:
        one = client.containers.start(IMAGE, SLEEPER, name="one")
        one.pause()
    lose(calm, one.id, when)
    with calm.client() as client:
        one = client.containers.get(one.id)
        lost(one)
        works(one.start())
        ends(one)


@pytest.mark.parametrize("when", WHEN)
def test_one_with_an_exec(calm: Machine, when: str) -> None:
    config = {"args": [BUSYBOX, "sleep", "1000"], "attach_stdout": True}
    with calm.client() as client:
        one = client.containers.start(IMAGE, SLEEPER, name="one")
        answers = client.connection.stream("run_exec", tenant="docker", ref=one.id, config=config)
        next(answers)
        (made,) = client.connection.call("list_execs", tenant="docker", ref=one.id)
        pids = one.top()
        lose(calm, one.id, when)
    for pid in pids:
        wait_gone(pid)
    with calm.client() as client:
        asked = {"tenant": "docker", "exec_id": made["id"]}
        assert client.connection.call("wait_exec", **asked) == 137


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("pid", [pb.CONTAINER, pb.POD], ids=["own pids", "shared pids"])
def test_a_pod(calm: Machine, when: str, pid: int) -> None:
    """The pod is not ready any more; the kubelet makes another attempt."""
    with calm.cri() as cri:
        pod = cri.run_pod("pod", linux=linux(pid=pid))
        other = cri.run_pod("other")
        pod.sleeper()
        beside = other.sleeper()
    lose(calm, pod.id, when, "pods")
    with calm.cri() as cri:
        pod.cri = other.cri = cri
        eventually(lambda: pod.status().state == pb.SANDBOX_NOTREADY, what="not ready")
        assert other.status().state == pb.SANDBOX_READY
        assert cri.output(beside, "hostname") == "other"
        cri.StopPodSandbox(pb.StopPodSandboxRequest(pod_sandbox_id=pod.id))
        cri.RemovePodSandbox(pb.RemovePodSandboxRequest(pod_sandbox_id=pod.id))
        assert calm.leases() == [other.ip]
