"""Create, start, kill, exit codes: every implementation of the Runtime protocol."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from corten.errors import (
    FailedPrecondition,
    NotFound,
    NotModified,
    ProgramNotExecutable,
    ProgramNotFound,
)
from corten.launch.client import is_locked
from corten.launch.messages import Delete, GetState, Kill, Pause, Resume, Start, Subscribe, Update
from tests.contract.conftest import Make
from tests.support import eventually


@pytest.mark.parametrize("code", [0, 3, 255])
def test_exit_code(make: Make, code: int) -> None:
    container = make(["sh", "-c", f"exit {code}"]).create()
    assert container.state.status == "created"
    container.start()
    exit = container.wait()
    assert (exit.code, exit.signal, exit.error) == (code, 0, None)
    state = container.state
    assert (state.status, state.exit_code, state.cleaned) == ("exited", code, True)
    assert state.created_at <= state.started_at <= state.finished_at == exit.finished_at


def test_created_container_has_not_run(make: Make) -> None:
    container = make(["sh", "-c", "echo ran"]).create()
    assert container.created.pid > 0 and container.created.start_time > 0
    assert container.state.pid == container.created.pid
    container.talk.ask(Delete())
    container.gone()
    assert container.log.read_bytes() == b""
    assert container.state.cleaned


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_by_a_signal(make: Make, number: signal.Signals) -> None:
    # PID 1 of a PID namespace has no default actions, so the shell has one of its own.
    script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done"
    container = make(["sh", "-c", script]).create()
    stream = container.attach()
    container.start()
    stream.until(b"ready")
    container.talk.ask(Kill(signal=number))
    exit = container.wait()
    assert exit.code == (137 if number == signal.SIGKILL else 7)
    stream.close()


@pytest.mark.parametrize(
    ("script", "fields", "code"),
    [
        ("trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done", {}, 7),
        ("trap 'exit 8' USR1; echo ready; while :; do sleep 0.1; done", {"stop_signal": "10"}, 8),
        ("trap '' TERM; echo ready; while :; do sleep 0.1; done", {"stop_timeout": 0.3}, 137),
    ],
)
def test_a_monitor_that_is_told_to_end_stops_its_container(
    make: Make, script: str, fields: dict[str, Any], code: int
) -> None:
    """As systemd and every other init do when the machine goes down."""
    container = make(["sh", "-c", script], **fields).create()
    stream = container.attach()
    container.start()
    stream.until(b"ready")
    os.kill(container.forked.pid, signal.SIGTERM)
    exit = container.wait()
    assert (exit.code, exit.reason) == (code, "shutdown")
    assert (container.state.cleaned, container.state.reason) == (True, "shutdown")
    stream.close()


def test_a_monitor_that_is_told_to_end_stops_what_is_paused_or_created(make: Make) -> None:
    script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done"
    for paused in (True, False):
        container = make(["sh", "-c", script]).create()
        if paused:
            stream = container.attach()
            container.start()
            stream.until(b"ready")
            stream.close()
            container.talk.ask(Pause())
        os.kill(container.forked.pid, signal.SIGTERM)
        assert container.wait().code == (7 if paused else 137)


def test_kill_of_all_processes(make: Make) -> None:
    container = make(["sh", "-c", "sleep 1000 & echo ready; wait"]).create()
    stream = container.attach()
    container.start()
    stream.until(b"ready")
    container.talk.ask(Kill(signal=9, all=True))
    assert container.wait().code == 137
    stream.close()


@pytest.mark.parametrize("program", ["missing", "/bin/missing"])
def test_program_that_does_not_exist(make: Make, program: str) -> None:
    container = make([program])
    with pytest.raises(ProgramNotFound):
        container.create().start()
    container.gone()
    state = container.state
    assert (state.status, state.exit_code, state.cleaned) == ("exited", 127, True)
    assert state.error is not None and state.error["code"] == "program_not_found"


@pytest.mark.parametrize("program", ["/bin/plain", "/etc"])
def test_program_that_is_not_executable(make: Make, program: str) -> None:
    container = make([program])
    with pytest.raises(ProgramNotExecutable):
        container.create().start()
    container.gone()
    assert (container.state.exit_code, container.state.cleaned) == (126, True)


def test_order_of_operations_is_checked(make: Make) -> None:
    container = make(["sleep", "1000"]).create()
    with pytest.raises(FailedPrecondition):
        container.exec(["true"])
    container.start()
    with pytest.raises(FailedPrecondition):
        container.talk.ask(Start())
    with pytest.raises(FailedPrecondition):
        container.talk.ask(Delete())
    with pytest.raises(FailedPrecondition):
        container.talk.ask(Resume())
    assert container.talk.ask(GetState())["status"] == "running"
    container.talk.ask(Delete(force=True))
    container.gone()
    assert container.state.exit_code == 137


def test_another_connection_hears_of_the_end(make: Make) -> None:
    container = make(["sleep", "1000"]).create().start()
    other = container.reconnect()
    assert other.ask(Subscribe())["status"] == "running"
    container.talk.connection.close()
    other.ask(Kill(signal=9))
    assert other.event("exit").code == 137
    other.end()
    other.connection.close()


def test_record_is_there_before_anybody_is_told(make: Make) -> None:
    container = make(["sh", "-c", "exit 5"]).create().start()
    container.talk.event("exit")
    assert (container.state.status, container.state.exit_code) == ("exited", 5)
    container.gone()


def test_a_monitor_that_nobody_speaks_to_records_and_ends(make: Make) -> None:
    container = make(["sh", "-c", "echo out; exit 6"]).create()
    container.talk.ask(Start())
    container.talk.connection.close()
    eventually(lambda: container.state.cleaned)
    assert container.state.exit_code == 6
    assert b"out" in container.log.read_bytes()
    eventually(lambda: not is_locked(str(container.dir)))
    with pytest.raises(NotFound):
        container.reconnect()


def test_pause_and_resume(make: Make, runtime: str) -> None:
    if runtime == "runsc":
        pytest.skip("runsc without cgroups pauses inside of its sandbox: other clocks")
    script = "while :; do echo tick; sleep 0.02; done"
    container = make(["sh", "-c", script]).create().start()
    eventually(lambda: container.log.stat().st_size > 0)
    container.talk.ask(Pause())
    assert container.state.status == "paused"
    with pytest.raises(NotModified):
        container.talk.ask(Pause())

    def still() -> bool:
        before = container.log.stat().st_size
        time.sleep(0.2)  # ten ticks would come: their absence has no event
        return container.log.stat().st_size == before

    eventually(still, what="no ticks come, but for one that was under way")
    size = container.log.stat().st_size
    container.talk.ask(Resume())
    eventually(lambda: container.log.stat().st_size > size)
    container.talk.ask(Pause())
    container.talk.ask(Kill(signal=9))
    assert container.wait().code == 137


def test_update_of_limits(make: Make, runtime: str) -> None:
    if runtime == "runsc":
        pytest.skip("runsc runs without cgroups here")
    container = make(["sleep", "1000"]).create().start()
    container.talk.ask(Update(resources={"pids": {"limit": 77}}))
    cgroup = Path("/sys/fs/cgroup")
    below = container.request.cgroup.lstrip("/")
    found = [path for path in (cgroup / "pids", cgroup) if (path / below / "pids.max").exists()]
    assert (found[0] / below / "pids.max").read_text().strip() == "77"
    container.talk.ask(Delete(force=True))
    container.gone()


def test_out_of_memory_is_recorded(make: Make, runtime: str) -> None:
    if runtime == "runsc":
        pytest.skip("runsc runs without cgroups here")

    def limit(config: dict[str, dict[str, object]]) -> None:
        config["linux"]["resources"] = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}

    eat = ["sh", "-c", "dd if=/dev/zero of=/dev/null bs=64M count=1; exit 0"]
    container = make(eat, change=limit).create().start()
    exit = container.wait()
    assert exit.oom_killed and container.state.oom_killed


def test_nothing_is_left(make: Make, runtime: str) -> None:
    container = make(["true"]).create().start()
    container.wait()
    groups = [
        str(path) for path, names, _ in os.walk("/sys/fs/cgroup") if path.endswith(container.name)
    ]
    assert groups == []
    assert container.name not in Path("/proc/self/mountinfo").read_text()
    left = {path.name for path in container.dir.iterdir()}
    assert "monitor.err" not in left and {"state.json", "lock", "log"} <= left
