"""``kill -9`` of the daemon at random moments of a pod's life; then a kubelet's retry."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from corten.cri.pb import cri_pb2 as pb
from tests.cri.client import Cri, Pod
from tests.cri.conftest import CriDaemon
from tests.support import eventually

_ROUNDS = 3


def interrupted(cri: Cri, server: CriDaemon, action: Callable[[], Any], delay: float) -> None:
    """Kill the daemon ``delay`` seconds into an action, then start it again."""

    def attempt() -> None:
        try:
            action()
        except grpc.RpcError:
            return  # the connection broke, as it should

    thread = threading.Thread(target=attempt)
    thread.start()
    time.sleep(delay)  # not a synchronisation: the moment is the test's input
    server.kill()
    thread.join()
    server.start()
    cri.reconnect()


@pytest.mark.parametrize("number", range(_ROUNDS))
def test_a_pod_that_was_being_made(cri: Cri, cri_daemon: CriDaemon, seed: int, number: int) -> None:
    metadata = pb.PodSandboxMetadata(name="web", namespace="test", uid=f"kill-{number}")
    request = pb.RunPodSandboxRequest(config=pb.PodSandboxConfig(metadata=metadata))
    delay = random.Random(seed * 100 + number).uniform(0, 0.09)
    interrupted(cri, cri_daemon, lambda: cri.RunPodSandbox(request), delay)
    made = cri.RunPodSandbox(request)
    pod = Pod(cri, made.pod_sandbox_id, request.config)
    assert pod.status().state == pb.SANDBOX_READY
    assert cri_daemon.leases() == [pod.ip]
    assert len(list((cri_daemon.state / "netns").iterdir())) == 1
    assert cri.output(pod.sleeper(), "hostname")


@pytest.mark.parametrize("number", range(_ROUNDS))
def test_a_container_that_was_being_started(
    cri: Cri, pod: Pod, cri_daemon: CriDaemon, seed: int, number: int
) -> None:
    other = pod.sleeper("other")
    one = pod.create("one", "/bin/busybox", "sleep", "1000")
    delay = random.Random(seed * 200 + number).uniform(0, 0.04)
    start = pb.StartContainerRequest(container_id=one)
    interrupted(cri, cri_daemon, lambda: cri.StartContainer(start), delay)
    assert cri.status(other).state == pb.CONTAINER_RUNNING
    status = cri.status(one)
    if status.state == pb.CONTAINER_CREATED:
        cri.StartContainer(start)
        status = cri.status(one)
    if status.state == pb.CONTAINER_RUNNING:
        assert cri.exec(one, "true").exit_code == 0
    else:
        assert status.reason  # it says why it will never run


@pytest.mark.parametrize("number", range(_ROUNDS))
def test_a_pod_that_was_being_stopped(
    cri: Cri, pod: Pod, cri_daemon: CriDaemon, seed: int, number: int
) -> None:
    one = pod.sleeper()
    stop = pb.StopPodSandboxRequest(pod_sandbox_id=pod.id)
    delay = random.Random(seed * 300 + number).uniform(0, 0.12)
    interrupted(cri, cri_daemon, lambda: cri.StopPodSandbox(stop), delay)
    cri.StopPodSandbox(stop)
    assert pod.status().state == pb.SANDBOX_NOTREADY
    assert cri.status(one).state == pb.CONTAINER_EXITED
    eventually(lambda: not cri_daemon.leases(), what="the address is free")
    assert list((cri_daemon.state / "netns").iterdir()) == []
