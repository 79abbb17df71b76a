"""A monitor that has nothing to do: its attendant ends, its keeper holds everything, and
whatever happens next is handled as if it had never slept."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from corten.launch.client import is_locked
from corten.launch.messages import CloseStdin, Delete, GetState, Kill, Pause, Resume, Start
from tests.contract.conftest import RUNTIMES, maker
from tests.contract.driver import Container, Host
from tests.support import eventually

PIPE = "while read line; do echo got $line; done; exit 7"


def asleep(container: Container) -> None:
    """Wait until nobody but the keeper waits for the container."""
    path = Path(f"/proc/{container.forked.pid}/task/{container.forked.pid}/children")

    def alone() -> bool:
        return path.read_text().split() == [str(container.created.pid)]

    eventually(alone, what="the attendant's end")


@pytest.fixture
def sleeper(own_host: Host, layer: Path) -> Container:
    return maker(own_host, layer, RUNTIMES["native"])(["sleep", "1000"]).create()


def lines(container: Container) -> str:
    return "".join(json.loads(line)["log"] for line in container.log.read_text().splitlines())


def test_start_after_a_rest(sleeper: Container) -> None:
    asleep(sleeper)
    sleeper.start()
    assert sleeper.state.status == "running"
    asleep(sleeper)
    assert is_locked(str(sleeper.dir))
    sleeper.talk.ask(Kill(signal=9))
    exit = sleeper.wait()
    assert (exit.code, exit.signal) == (137, 9)
    assert sleeper.state.cleaned and not is_locked(str(sleeper.dir))


def test_an_init_that_ends_meanwhile(sleeper: Container) -> None:
    sleeper.start()
    asleep(sleeper)
    os.kill(sleeper.created.pid, signal.SIGKILL)
    assert sleeper.wait().code == 137
    assert sleeper.state.exit_code == 137


def test_an_init_that_ends_before_its_start(sleeper: Container) -> None:
    asleep(sleeper)
    os.kill(sleeper.created.pid, signal.SIGKILL)
    assert sleeper.wait().code == 137


def test_delete_and_many_sleeps(sleeper: Container) -> None:
    sleeper.start()
    for _ in range(3):
        asleep(sleeper)
        assert sleeper.talk.ask(GetState())["status"] == "running"
        other = sleeper.reconnect()
        assert other.ask(GetState())["monitor_pid"] == sleeper.forked.pid
        other.connection.close()
    sleeper.talk.ask(Pause())
    asleep(sleeper)
    assert sleeper.talk.ask(GetState())["status"] == "paused"
    sleeper.talk.ask(Resume())
    asleep(sleeper)
    sleeper.talk.ask(Delete(force=True))
    sleeper.gone()


def test_exec_and_its_exit_code(sleeper: Container) -> None:
    sleeper.start()
    asleep(sleeper)
    stream = sleeper.exec(["sh", "-c", "echo hi; exit 5"])
    assert stream is not None and stream.frames()["stdout"] == b"hi\n"
    assert sleeper.talk.event("exec-exit").code == 5
    asleep(sleeper)
    assert sleeper.talk.ask(GetState())["execs"]["e1"]["exit_code"] == 5


@pytest.mark.parametrize("tty", [False, True])
def test_input_and_output(own_host: Host, layer: Path, tty: bool) -> None:
    """A line that is half written, an attacher that comes later, the end of the input."""
    make = maker(own_host, layer, RUNTIMES["native"])
    script = f"printf 'prompt> '; {PIPE}"
    container = make(["sh", "-c", script], tty=tty, stdin_open=True, stdin_once=False)
    container.create().start()
    asleep(container)
    stream = container.attach(stdin=True)
    stream.write(b"one\n")
    stream.until(b"got one")
    stream.close()
    asleep(container)
    stream = container.attach(stdin=True)
    stream.write(b"two\n")
    stream.until(b"got two")
    stream.close()
    asleep(container)
    if tty:
        container.talk.ask(Kill(signal=9))
        assert container.wait().code == 137
    else:
        container.talk.ask(CloseStdin())
        assert container.wait().code == 7
    text = lines(container).replace("\r", "")
    assert text.startswith("prompt> ") and text.count("got one\n") == text.count("got two\n") == 1


def test_output_wakes_and_is_logged(own_host: Host, layer: Path) -> None:
    script = "for n in 1 2 3 4; do sleep 0.6; echo line $n; done"
    container = maker(own_host, layer, RUNTIMES["native"])(["sh", "-c", script]).create().start()
    assert container.wait().code == 0
    assert lines(container) == "line 1\nline 2\nline 3\nline 4\n"


def test_sigterm_wakes(own_host: Host, layer: Path) -> None:
    make = maker(own_host, layer, RUNTIMES["native"])
    sleeper = make(["sleep", "1000"], stop_timeout=0.1).create().start()
    asleep(sleeper)
    os.kill(sleeper.forked.pid, signal.SIGTERM)  # sleep as PID 1 does not hear it
    assert sleeper.wait().code == 137
    assert sleeper.state.reason == "shutdown"


def test_a_keeper_that_is_killed(sleeper: Container) -> None:
    sleeper.start()
    asleep(sleeper)
    os.kill(sleeper.forked.pid, signal.SIGKILL)
    sleeper.talk.end()
    eventually(lambda: not is_locked(str(sleeper.dir)))


def test_a_created_one_with_hooks_is_not_left_alone(own_host: Host, layer: Path) -> None:
    """Its start takes more than an order, so its attendant stays."""
    mark = own_host.base / "poststart"

    def hook(config: dict[str, object]) -> None:
        config["hooks"] = {"poststart": [{"path": "/usr/bin/touch", "args": ["touch", str(mark)]}]}

    make = maker(own_host, layer, RUNTIMES["native"])
    container = make(["sleep", "1000"], change=hook).create()
    container.talk.ask(Start())
    assert mark.exists()
    asleep(container)
    container.talk.ask(Kill(signal=9))
    assert container.wait().code == 137
