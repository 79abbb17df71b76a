"""Clients that go away in the middle of something: it is done nevertheless, once, and who
asks for the same meanwhile joins it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from corten.client import Client
from corten.cri.pb import cri_pb2 as pb
from corten.errors import AlreadyExists
from tests.cri.client import Pod
from tests.faults import steps
from tests.faults.machine import IMAGE, SLEEPER, Machine
from tests.support import eventually


@contextlib.contextmanager
def held_up(machine: Machine) -> Iterator[None]:
    """Nothing can be started as long as the launcher stands still."""
    launcher = machine.launcher
    os.kill(launcher, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(launcher, signal.SIGCONT)


def gone(machine: Machine, op: str, **arguments: object) -> None:
    """A client that asks for something and goes away."""
    with machine.client() as client:
        client.connection.begin(op, tenant="docker", **arguments)


def test_create(calm: Machine) -> None:
    config = {"image": IMAGE, "cmd": SLEEPER}
    gone(calm, "create_container", config=config, name=steps.NAME)
    with calm.client() as client:
        made = eventually(lambda: calm.container(client, steps.NAME), what="it is made")
        assert made is not None
        with pytest.raises(AlreadyExists):
            client.containers.create(IMAGE, SLEEPER, name=steps.NAME)
        steps.works(made.start())
        steps.ends(made)


def test_start(calm: Machine) -> None:
    with calm.client() as client:
        made = client.containers.create(IMAGE, SLEEPER, name=steps.NAME)
        with held_up(calm):
            gone(calm, "start_container", ref=made.id)
            joined = client.connection.begin("start_container", tenant="docker", ref=made.id)
        assert client.connection.receive(joined, timeout=30).value["id"] == made.id
        steps.works(made)
        started = [e["action"] for e in _events(client, made.id)]
        assert started.count("start") == 1, started
        steps.ends(made)


def _events(client: Client, object_id: str) -> list[dict[str, str]]:
    now = client.containers.get(object_id).attrs["state"]["started_at"] + 10**9
    return [e for e in client.events(since=1, until=now) if e["id"] == object_id]


def test_stop(calm: Machine) -> None:
    with calm.client() as client:
        one = client.containers.start(IMAGE, SLEEPER, name=steps.NAME)
        steps.ready(one)
        gone(calm, "stop_container", ref=one.id)
        assert one.wait() == 5
        one.remove()


def test_remove(calm: Machine) -> None:
    with calm.client() as client:
        one = client.containers.start(IMAGE, SLEEPER, name=steps.NAME)
        gone(calm, "remove_container", ref=one.id, force=True)
        eventually(lambda: calm.container(client, steps.NAME) is None, what="it is removed")


def test_a_pod(calm: Machine) -> None:
    """A kubelet whose deadline has passed asks again."""
    request = pb.RunPodSandboxRequest(config=steps.POD)
    with calm.cri() as cri:
        with held_up(calm):
            with calm.cri() as hasty:
                hasty.begin("RunPodSandbox", request)
            retried = cri.begin("RunPodSandbox", request)
        pod = Pod(cri, retried.result(30).pod_sandbox_id, steps.POD)
        items = cri.ListPodSandbox(pb.ListPodSandboxRequest()).items
        assert [item.id for item in items] == [pod.id]
        assert cri.output(pod.sleeper(), "hostname") == "pod"


def test_the_docker_cli_is_killed(calm: Machine) -> None:
    """Of ``docker run``: as under dockerd, its container goes on."""
    words = ["docker", "run", "--name", steps.NAME, IMAGE, *SLEEPER]
    env = {**os.environ, "DOCKER_HOST": calm.docker_host, "DOCKER_CONFIG": str(calm.base)}
    with subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL) as docker:
        with calm.client() as client:
            eventually(lambda: _runs(calm, client), what="it runs")
        docker.kill()
    with calm.client() as client:
        one = client.containers.get(steps.NAME)
        steps.works(one)
        steps.ends(one)


def _runs(machine: Machine, client: Client) -> bool:
    found = machine.container(client, steps.NAME)
    return found is not None and found.status == "running"
