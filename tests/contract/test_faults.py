"""``kill -9`` of launcher and monitor: containers go on, or end as ``monitor-lost``; nothing
leaks. Every system call of a step is another suite's (tests/faults)."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import pytest

from corten.errors import FailedPrecondition
from corten.launch import messages, wire
from corten.launch.client import is_locked
from corten.launch.messages import Delete, GetState, Kill, Start, Subscribe
from corten.launch.orphan import bury
from corten.spec.jsonlite import dumpb
from tests.contract.conftest import RUNTIMES, maker
from tests.contract.driver import Container, Ended, Host
from tests.support import eventually

SLEEP = ["sh", "-c", "echo ready; sleep 1000 & sleep 1000"]


def groups_of(name: str) -> list[str]:
    return [path for path, _, _ in os.walk("/sys/fs/cgroup") if path.endswith(name)]


def alive(pid: int) -> bool:
    try:
        return "Z (zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def kill_monitor(container: Container) -> None:
    os.kill(container.forked.pid, signal.SIGKILL)
    select.select([container.pidfd], [], [], 30)
    eventually(lambda: not is_locked(str(container.dir)))


def test_containers_outlive_the_launcher(own_host: Host, layer: Path) -> None:
    container = maker(own_host, layer, RUNTIMES["native"])(SLEEP).create().start()
    created = maker(own_host, layer, RUNTIMES["native"])(["sh", "-c", "exit 4"]).create()
    own_host.kill_launcher()
    stream = container.exec(["echo", "hi"])
    assert stream is not None and stream.frames()["stdout"] == b"hi\n"
    created.start()
    assert created.wait().code == 4
    own_host.start()
    other = maker(own_host, layer, RUNTIMES["native"])(["sh", "-c", "exit 5"]).create().start()
    assert other.wait().code == 5
    container.talk.ask(Delete(force=True))
    container.gone()


def test_a_launcher_that_is_told_to_end_ends(own_host: Host, layer: Path) -> None:
    """And nothing else does: its daemon starts another."""
    container = maker(own_host, layer, RUNTIMES["native"])(SLEEP).create().start()
    os.kill(own_host.launcher.pid, signal.SIGTERM)
    own_host.reap()
    own_host.start()
    assert container.talk.ask(GetState())["status"] == "running"
    container.talk.ask(Delete(force=True))
    container.gone()


def test_a_second_launcher_is_refused(own_host: Host) -> None:
    pid = (own_host.base / "launcher.lock").read_text()
    assert int(pid) == own_host.hello.pid
    first, own_host.launcher = own_host.launcher, own_host.launcher
    with pytest.raises(AssertionError, match="another launcher"):
        own_host.start()
    own_host.reap()
    own_host.launcher = first
    own_host.errors.truncate(0)


def test_requests_of_a_dead_daemon_are_not_begun(own_host: Host, layer: Path) -> None:
    """The launcher is stopped, so that the request waits; then its daemon is gone."""
    container = maker(own_host, layer, RUNTIMES["native"])(["true"])
    pid = own_host.launcher.pid
    os.kill(pid, signal.SIGSTOP)
    config = wire.sealed_memfd("config", dumpb(container.config))
    _, connection = own_host.launcher.connection.create(container.request, {"config": config})
    os.close(config)
    own_host.launcher.connection.close()
    os.kill(pid, signal.SIGCONT)
    assert own_host.reap() == 0
    assert not (container.dir / "lock").exists()
    assert connection.receive() == [] and connection.closed
    connection.close()


@pytest.mark.parametrize("kind", ["native", "runc"])
@pytest.mark.parametrize("stage", ["created", "running", "paused"])
def test_killed_monitor(own_host: Host, layer: Path, kind: str, stage: str) -> None:
    if kind == "runc" and not RUNTIMES["runc"]["path"]:
        pytest.skip("runc is not installed")
    container = maker(own_host, layer, RUNTIMES[kind])(SLEEP).create()
    if stage != "created":
        container.start()
        eventually(lambda: b"ready" in container.log.read_bytes())
        container.exec(["sleep", "1000"], attach=False)
    if stage == "paused":
        container.talk.ask(messages.Pause())
    with pytest.raises(FailedPrecondition):
        bury(str(container.dir), patience=0)
    kill_monitor(container)
    container.talk.end()
    if (kind, stage) == ("native", "created"):  # an init that waits ends by itself
        eventually(lambda: not alive(container.created.pid))
    state = bury(str(container.dir))
    assert state is not None
    assert (state.status, state.exit_code, state.reason) == ("exited", 137, "monitor-lost")
    assert state.cleaned and state.finished_at
    assert all(record["exit_code"] == 137 for record in state.execs.values())
    eventually(lambda: not alive(container.created.pid))
    assert groups_of(container.name) == []
    assert container.name not in Path("/proc/self/mountinfo").read_text()
    assert bury(str(container.dir)) == state  # nothing changes by doing it again


def test_the_exit_code_of_an_ended_container_is_kept(own_host: Host, layer: Path) -> None:
    container = maker(own_host, layer, RUNTIMES["native"])(["sh", "-c", "exit 9"]).create()
    container.start()
    container.wait()
    state = bury(str(container.dir))
    assert state is not None and (state.exit_code, state.reason) == (9, "")


def test_a_run_directory_without_a_monitor(tmp_path: Path) -> None:
    assert bury(str(tmp_path)) is None


def test_killed_init_is_an_exit_before_the_start(own_host: Host, layer: Path) -> None:
    container = maker(own_host, layer, RUNTIMES["native"])(SLEEP).create()
    os.kill(container.created.pid, signal.SIGKILL)
    assert container.wait().code == 137
    assert container.state.cleaned


def attendants(monitor: int, init: int) -> list[int]:
    """The children of a monitor besides its container's."""
    children = Path(f"/proc/{monitor}/task/{monitor}/children")
    return [int(pid) for pid in children.read_text().split() if int(pid) != init]


def asleep(container: Container) -> None:
    """Wait until nobody but its keeper waits for a container."""
    eventually(lambda: attendants(container.forked.pid, container.created.pid) == [])


def test_killed_attendant(own_host: Host, layer: Path) -> None:
    """What works for a monitor is killed: the monitor goes with it, nothing hangs."""
    container = maker(own_host, layer, RUNTIMES["native"])(SLEEP).create()
    container.attach()  # as long as somebody is attached it does not rest
    (attendant,) = attendants(container.forked.pid, container.created.pid)
    os.kill(attendant, signal.SIGKILL)
    container.talk.end()
    eventually(lambda: not alive(container.forked.pid))
    eventually(lambda: not alive(container.created.pid))
    state = bury(str(container.dir))
    assert state is not None and (state.reason, state.cleaned) == ("monitor-lost", True)
    assert groups_of(container.name) == []


def test_monitor_killed_while_it_creates(own_host: Host, layer: Path) -> None:
    """Stopped in the middle, then killed: what it made is found by its state alone."""
    container = maker(own_host, layer, RUNTIMES["native"])(SLEEP)
    config = wire.sealed_memfd("config", dumpb(container.config))
    forked, talk, pidfd = own_host.make(container.request, {"config": config})
    os.close(config)
    os.kill(forked.pid, signal.SIGKILL)
    select.select([pidfd], [], [], 30)
    with pytest.raises(Ended):
        while True:
            talk.reply(99)
    eventually(lambda: not is_locked(str(container.dir)))
    state = bury(str(container.dir))
    assert state is None or state.cleaned
    assert groups_of(container.name) == []


def test_a_new_daemon_finds_what_runs(own_host: Host, layer: Path) -> None:
    container = maker(own_host, layer, RUNTIMES["native"])(SLEEP).create().start()
    container.talk.connection.close()
    own_host.kill_launcher()
    own_host.start()
    assert is_locked(str(container.dir))
    talk = container.reconnect()
    state = talk.ask(Subscribe())
    assert (state["status"], state["pid"]) == ("running", container.created.pid)
    assert talk.ask(GetState())["monitor_pid"] == container.forked.pid
    with pytest.raises(FailedPrecondition):
        talk.ask(Start())
    talk.ask(Kill(signal=9))
    assert talk.event("exit").code == 137
    talk.end()
    eventually(lambda: not is_locked(str(container.dir)))


def test_descriptors_and_processes_are_given_back(own_host: Host, layer: Path) -> None:
    make = maker(own_host, layer, RUNTIMES["native"])
    fds = Path(f"/proc/{own_host.hello.pid}/fd")
    make(["true"]).create().start().wait()
    own_host.at_rest()
    before = len(list(fds.iterdir()))
    container = make(SLEEP, stdin_open=True).create().start()
    monitor = Path(f"/proc/{container.forked.pid}/fd")
    asleep(container)
    idle = len(list(monitor.iterdir()))
    for number in range(5):
        stream = container.exec(["true"], exec_id=f"e{number}", stdin=True)
        assert stream is not None
        stream.raw()
        container.talk.event("exec-exit")
        container.attach(stdin=True).close()
    asleep(container)
    # Its channel is closed right after its attendant was reaped.
    eventually(lambda: len(list(monitor.iterdir())) <= idle, what="the keeper's descriptors")
    own_host.at_rest()
    assert len(list(fds.iterdir())) == before
    container.talk.ask(Delete(force=True))
    container.gone()
    children = Path(f"/proc/{own_host.hello.pid}/task/{own_host.hello.pid}/children")
    eventually(lambda: len(children.read_text().split()) == 1)  # the one forked ahead
