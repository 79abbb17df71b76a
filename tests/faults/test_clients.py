"""Clients that go away in the middle of something: it is done nevertheless, once, and who
asks for the same meanwhile joins it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from corten.client import Client
from corten.cri.pb import cri_pb2 as pb
from corten.errors import AlreadyExists
from tests.api.http import Api
from tests.cri.client import Pod
from tests.faults import steps
from tests.faults.inventory import opened
from tests.faults.machine import COUNTER, IMAGE, SHELL, SLEEPER, Machine
from tests.support import eventually

LINES = "for i in $(seq 100); do echo line $i; usleep 2000; done"
Leave = Callable[[Machine, str], None]


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


def _native(op: str, **arguments: object) -> Leave:
    def leave(machine: Machine, ref: str) -> None:
        given = {name: value or ref for name, value in arguments.items()}
        client = Client(str(machine.state / "corten.sock"))
        number = client.connection.begin(op, tenant="docker", **given)
        if op != "wait_container":  # that says nothing until it ends
            answer = client.connection.receive(number, timeout=10)
            for fd in answer.fds:
                os.close(fd)
        client.close()

    return leave


def _docker(method: str, path: str) -> Leave:
    """A request by hand, whose connection is closed in the middle of the answer."""

    def leave(machine: Machine, ref: str) -> None:
        body = b""
        place = path.replace("{ref}", ref)
        if "{exec}" in path:
            place = path.replace("{exec}", _made_exec(machine, ref))
            body = b'{"Detach": false, "Tty": false}'
        _ask(machine, method, place, body, wait=not place.endswith("wait"))

    return leave


def _ask(machine: Machine, method: str, path: str, body: bytes, *, wait: bool) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
    if method == "POST":
        head += f"Content-Length: {len(body)}\r\n"
    if path.endswith(("start", "stdout=1")) and method == "POST":
        head += "Connection: Upgrade\r\nUpgrade: tcp\r\n"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(machine.state / "docker.sock"))
        sock.sendall(f"{head}\r\n".encode() + body)
        return sock.recv(4096) if wait else b""


def _made_exec(machine: Machine, ref: str) -> str:
    body = {"AttachStdout": True, "Cmd": [*SHELL, LINES]}
    api = Api(str(machine.state / "docker.sock"))
    found: str = api(f"POST containers/{ref}/exec 201", body)["Id"]
    return found


def _exec_sync(machine: Machine, ref: str) -> None:
    """A kubelet that gives a probe up."""
    with machine.cri() as cri:
        request = pb.ExecSyncRequest(container_id=ref, cmd=[*SHELL, "sleep 1000"], timeout=1)
        cri.begin("ExecSync", request).cancel()


_EXEC = {"args": [*SHELL, LINES], "attach_stdout": True}
LEAVERS: dict[str, Leave] = {
    "logs": _native("logs", ref="", follow=True),
    "events": _native("events", since=1),
    "attach": _native("attach_container", ref=""),
    "exec": _native("run_exec", ref="", config=_EXEC),
    "wait": _native("wait_container", ref=""),
    "docker logs": _docker("GET", "/containers/{ref}/logs?follow=1&stdout=1"),
    "docker events": _docker("GET", "/events?since=1"),
    "docker attach": _docker("POST", "/containers/{ref}/attach?stream=1&stdout=1"),
    "docker exec": _docker("POST", "/exec/{exec}/start"),
    "docker wait": _docker("POST", "/containers/{ref}/wait"),
    "docker stats": _docker("GET", "/containers/{ref}/stats"),
    "ExecSync": _exec_sync,
}


@pytest.mark.parametrize("name", LEAVERS)
def test_a_stream_is_left(calm: Machine, name: str) -> None:
    """In the middle, many times: neither daemon nor monitor keeps anything of it, and the
    container does not notice."""
    tenant = "k8s" if name == "ExecSync" else "docker"
    with calm.client(tenant) as client:
        if tenant == "k8s":
            with calm.cri() as cri:
                ref = cri.run_pod("pod").run("counter", *COUNTER)
        else:
            ref = client.containers.start(IMAGE, COUNTER, name=steps.NAME).id
        one = client.containers.get(ref)
        monitor = calm.monitor(ref)
        LEAVERS[name](calm, ref)
        eventually(lambda: not _execs(calm, ref), what="its exec has ended")
        before = {pid: opened(pid) for pid in (calm.pid, monitor)}
        for _ in range(_TIMES):
            LEAVERS[name](calm, ref)
        eventually(lambda: not _execs(calm, ref), what="execs have ended")
        for pid, earlier in before.items():
            _keeps_nothing(pid, earlier)
        steps.works(one)


_TIMES = 10


def _keeps_nothing(pid: int, earlier: Counter[str]) -> None:
    """What is kept of a stream is kept each time. A few more or less say nothing: the stock of
    network namespaces is filled a little after a start, a stream may be about to end."""
    last = Counter[str]()

    def few() -> bool:
        last.clear()
        last.update(opened(pid))
        return last.total() - earlier.total() < _TIMES // 2

    try:
        eventually(few)
    except AssertionError:
        raise AssertionError(f"{pid} has opened {last - earlier}") from None


def _execs(machine: Machine, ref: str) -> int:
    """How many processes the container has besides its own."""
    from corten.launch.client import read_state

    state = read_state(str(machine.state / "run" / ref))
    assert state is not None
    return sum(one["status"] != "exited" for one in state.execs.values())
