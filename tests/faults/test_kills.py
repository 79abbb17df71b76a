"""``kill -9`` of the daemon, of the launcher, of both, while containers and a pod run:
nothing of theirs notices."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from corten.client import Client
from corten.client.records import Container
from corten.cri.pb import cri_pb2 as pb
from tests.cri.client import Cri, Pod
from tests.faults.machine import BUSYBOX, COUNTER, IMAGE, SHELL, Machine, attempt
from tests.faults.steps import POD, ends, works
from tests.harness import wait_gone
from tests.support import eventually

ROUNDS = 40 if os.environ.get("CORTEN_SOAK") else 3
VICTIMS = ("daemon", "launcher", "both")


def strike(machine: Machine, victim: str) -> None:
    """Kill; nobody is started again yet."""
    launcher = machine.launcher
    if victim == "launcher":
        os.kill(launcher, signal.SIGKILL)
        eventually(lambda: machine.launcher != launcher, what="another launcher")
        return
    if victim == "both":
        os.kill(launcher, signal.SIGKILL)
    machine.kill()
    wait_gone(launcher)


class Load:
    """What runs while something is killed: a counter without and one with a terminal, one
    that ends when it is told to, and a pod with a counter."""

    def __init__(self, machine: Machine, client: Client, cri: Cri) -> None:
        run = client.containers.start
        self.machine = machine
        self.go = machine.base / "go"
        self.go.mkdir(exist_ok=True)
        self.plain = run(IMAGE, COUNTER, name="plain")
        self.terminal = run(IMAGE, COUNTER, name="terminal", tty=True)
        waits = f"until [ -e /go/{id(self)} ]; do usleep 5000; done; echo last words; exit 7"
        binds = [{"type": "bind", "source": str(self.go), "target": "/go"}]
        self.ending = run(IMAGE, [*SHELL, waits], name="ending", mounts=binds)
        config = pb.PodSandboxConfig()
        config.CopyFrom(POD)
        self.logs = machine.base / f"logs-{id(self)}"
        config.log_directory = str(self.logs)
        answer = cri.RunPodSandbox(pb.RunPodSandboxRequest(config=config))
        self.pod = Pod(cri, answer.pod_sandbox_id, config)
        self.inside = self.pod.run("counter", *COUNTER)

    def end_one(self) -> None:
        """Let the one that ends do so, and wait until it has."""
        (self.go / str(id(self))).touch()
        wait_gone(self.ending.attrs["state"]["pid"])

    def pids(self) -> dict[str, tuple[int, int]]:
        """Process and monitor of everything that stays, as the daemon and the kernel say."""
        with self.machine.client() as docker, self.machine.client("k8s") as kubernetes:
            found = {}
            for one in (*docker.containers.list(), *kubernetes.containers.list()):
                if one.name != "ending":
                    pid = one.attrs["state"]["pid"]
                    os.kill(pid, 0)
                    found[one.name] = (pid, self.machine.monitor(one.id))
            found["pod"] = (0, self.machine.monitor(self.pod.id, "pods"))
            return found


@pytest.fixture
def load(calm: Machine) -> Iterator[Load]:
    with calm.client() as client, calm.cri() as cri:
        yield Load(calm, client, cri)


def numbers(lines: list[str]) -> list[int]:
    """The counter's numbers, all of which must be there."""
    found = [int(line.split()[1]) for line in lines]
    assert found == list(range(len(found)))
    return found


def counts_on(container: Container, beyond: int) -> None:
    """Its log grows, without a gap."""
    eventually(lambda: len(numbers(json_lines(container))) > beyond, what="it counts on")


def json_lines(container: Container) -> list[str]:
    """The complete lines of a json-file log."""
    text = Path(container.attrs["log_path"]).read_text()
    records = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    whole = "".join(record["log"] for record in records)
    return whole[: whole.rfind("\n") + 1].splitlines()


def cri_lines(log: Path) -> list[str]:
    """The complete lines of a log in CRI's format."""
    text = log.read_text()
    return [line.split(" ", 3)[3] for line in text[: text.rfind("\n") + 1].splitlines()]


@pytest.mark.parametrize("victim", VICTIMS)
def test_nothing_notices(calm: Machine, load: Load, victim: str) -> None:
    before = load.pids()
    strike(calm, victim)
    load.end_one()
    counted = len(numbers(json_lines(load.plain)))
    calm.revive()
    assert load.pids() == before
    with calm.client() as client, calm.cri() as cri:
        ended = client.containers.get(load.ending.id)
        assert ended.wait() == 7
        assert ended.reload().status == "exited"
        assert json_lines(ended) == ["last words"]
        for one in (load.plain, load.terminal):
            again = client.containers.get(one.id)
            works(again)
            counts_on(again, counted + 100)
        assert cri.output(load.inside, "hostname") == "pod"
        assert cri.status(load.inside).state == pb.CONTAINER_RUNNING
        assert numbers(cri_lines(load.logs / "counter.log"))
        # What is new works beside what was there before.
        new = client.containers.start(IMAGE, ["/bin/busybox", "sh", "-c", "exit 4"], name="new")
        assert new.wait() == 4


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_stream_of_the_native_client_goes_on(calm: Machine, victim: str) -> None:
    with calm.client() as client:
        echo = client.containers.create(IMAGE, [BUSYBOX, "cat"], open_stdin=True, stdin_once=True)
        stream = echo.attach(stdin=True)
        echo.start()
    stream.write(b"before\n")
    with stream:
        parts = iter(stream)
        assert next(parts) == (1, b"before\n")
        strike(calm, victim)
        stream.write(b"meanwhile\n")
        assert next(parts) == (1, b"meanwhile\n")
        calm.revive()
        stream.write(b"after\n")
        assert next(parts) == (1, b"after\n")
        stream.close_stdin()
        assert list(parts) == []
    with calm.client() as client:
        assert client.containers.get(echo.id).wait() == 0


@pytest.mark.parametrize("victim", VICTIMS)
def test_an_exec_that_runs_meanwhile_keeps_its_exit_code(calm: Machine, victim: str) -> None:
    config = {"args": [*SHELL, "read line; exit $line"], "attach_stdin": True}
    with calm.client() as client:
        one = client.containers.start(IMAGE, [BUSYBOX, "sleep", "1000"])
        answers = client.connection.stream("run_exec", tenant="docker", ref=one.id, config=config)
        stdin = next(answers).fds[0]
        strike(calm, victim)
        os.write(stdin, b"9\n")
        os.close(stdin)
        calm.revive()
        if victim == "launcher":
            assert next(answers).value == 9
    with calm.client() as client:
        (made,) = client.connection.call("list_execs", tenant="docker", ref=one.id)
        asked = {"tenant": "docker", "exec_id": made["id"]}
        assert client.connection.call("wait_exec", **asked) == 9


def test_random_moments(calm: Machine, seed: int) -> None:
    """The daemon dies again and again while containers come and go."""
    chance = random.Random(seed)
    with calm.client() as client:
        stays = client.containers.start(IMAGE, COUNTER, name="stays")
    for number in range(ROUNDS):
        name = f"round-{number}"
        thread = threading.Thread(target=attempt, args=(partial(_come_and_go, calm, name),))
        thread.start()
        thread.join(chance.uniform(0, 0.5))  # not a synchronisation: the test's input
        strike(calm, "daemon")
        thread.join()
        calm.revive()
        with calm.client() as client:
            found = calm.container(client, name)
            assert found is None or found.status in ("created", "running", "exited")
    with calm.client() as client:
        again = client.containers.get(stays.id)
        assert again.attrs["state"]["pid"] == stays.attrs["state"]["pid"]
        works(again)
        assert numbers(json_lines(again))


def _come_and_go(machine: Machine, name: str) -> None:
    with machine.client() as client:
        while True:
            one = client.containers.start(
                IMAGE, [*SHELL, "trap 'exit 5' TERM; sleep 9 & wait"], name=name
            )
            assert one.exec([BUSYBOX, "true"]).code == 0
            ends(one)
