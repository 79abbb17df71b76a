"""Standard streams, terminals, attachers, exec: every implementation."""

from __future__ import annotations

import time

import pytest

from corten.errors import (
    AlreadyExists,
    NotFound,
    ProgramNotExecutable,
    ProgramNotFound,
)
from corten.launch.messages import CloseStdin, Delete, GetState, Kill, Resize
from tests.contract.conftest import Make
from tests.contract.driver import Container
from tests.support import eventually

SLEEP = ["sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done"]


def running(make: Make, **fields: object) -> Container:
    """A container whose init idles."""
    container = make(SLEEP, **fields).create().start()
    eventually(lambda: b"ready" in container.log.read_bytes())
    return container


def remove(container: Container) -> None:
    container.talk.ask(Delete(force=True))
    container.gone()


def test_output_in_frames(make: Make) -> None:
    container = make(["sh", "-c", "echo out; echo err >&2"]).create()
    stream = container.attach()
    container.start()
    assert stream.frames() == {"stdout": b"out\n", "stderr": b"err\n"}
    assert container.wait().code == 0
    stream.close()


def test_large_output_arrives_whole(make: Make) -> None:
    size = 3_000_000
    container = make(["sh", "-c", f"head -c {size} /dev/zero"], log={"driver": "none"}).create()
    stream = container.attach()
    container.start()
    time.sleep(0.1)  # be slow: nothing may be dropped for it
    assert stream.frames()["stdout"] == bytes(size)
    assert container.wait().code == 0
    stream.close()


def test_stdin_is_empty_unless_opened(make: Make) -> None:
    container = make(["cat"]).create().start()
    assert container.wait().code == 0


def test_stdin_once_ends_with_the_attacher(make: Make) -> None:
    container = make(["sh", "-c", "cat; echo end"], stdin_open=True, stdin_once=True).create()
    stream = container.attach(stdin=True)
    container.start()
    payload = b"x" * 300_000 + b"\n"
    stream.write(payload)
    stream.end_input()
    assert stream.frames()["stdout"] == payload + b"end\n"
    container.wait()
    stream.close()


def test_stdin_without_once_survives_its_attacher(make: Make) -> None:
    container = make(["sh", "-c", "read a; read b; echo $a-$b"], stdin_open=True).create().start()
    streams = []
    for word in (b"one\n", b"two\n"):
        stream = container.attach(stdin=True)
        stream.write(word)
        stream.end_input()
        streams.append(stream)
    assert streams[1].frames()["stdout"] == b"one-two\n"
    container.wait()
    for stream in streams:
        stream.close()


def test_close_stdin_by_request(make: Make) -> None:
    container = make(["cat"], stdin_open=True).create().start()
    container.talk.ask(CloseStdin())
    assert container.wait().code == 0


def test_several_attachers_see_the_same(make: Make) -> None:
    script = "read x; echo got $x"
    container = make(["sh", "-c", script], stdin_open=True).create().start()
    streams = [container.attach(stdin=True), container.attach(), container.attach()]
    streams[0].write(b"word\n")
    for stream in streams:
        assert stream.frames()["stdout"] == b"got word\n"
        stream.close()
    container.wait()


def test_detached_attacher_leaves_the_container_alone(make: Make) -> None:
    container = running(make, stdin_open=True, stdin_once=True)
    container.attach(stdin=True).close()
    assert container.talk.ask(GetState())["status"] == "running"
    remove(container)


def test_terminal(make: Make) -> None:
    script = "test -t 0 && echo terminal; stty size; read x; echo got:$x; stty size"
    container = make(["sh", "-c", script], tty=True, stdin_open=True, console_size=(33, 101))
    container.create()
    stream = container.attach(stdin=True)
    container.start()
    assert stream.until(b"33 101\r\n").startswith(b"terminal\r\n")
    container.talk.ask(Resize(rows=50, columns=160))
    stream.write(b"word\r")
    assert b"got:word\r\n50 160\r\n" in stream.raw()
    assert container.wait().code == 0
    stream.close()


def test_interrupt_by_the_terminal(make: Make) -> None:
    script = "trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.1; done"
    container = make(["sh", "-c", script], tty=True, stdin_open=True).create()
    stream = container.attach(stdin=True)
    container.start()
    stream.until(b"ready")
    stream.write(b"\x03")
    assert b"interrupted" in stream.raw()
    assert container.wait().code == 5
    stream.close()


def test_exec(make: Make) -> None:
    container = running(make)
    stream = container.exec(["sh", "-c", "echo out; echo err >&2; exit 9"])
    assert stream is not None
    assert stream.frames() == {"stdout": b"out\n", "stderr": b"err\n"}
    exit = container.talk.event("exec-exit")
    assert (exit.exec_id, exit.code) == ("e1", 9)
    record = container.state.execs["e1"]
    assert (record["status"], record["exit_code"]) == ("exited", 9)
    with pytest.raises(AlreadyExists):
        container.exec(["true"])
    stream.close()
    remove(container)


def test_exec_with_stdin_and_environment(make: Make) -> None:
    container = running(make)
    stream = container.exec(
        ["sh", "-c", "cat; echo $WORD in $PWD as $(id -u)"],
        stdin=True,
        process={
            "env": ["PATH=/bin", "WORD=hello"],
            "cwd": "/tmp",
            "user": {"uid": 1000, "gid": 1000},
        },
    )
    assert stream is not None
    stream.write(b"typed\n")
    stream.end_input()
    assert stream.frames()["stdout"] == b"typed\nhello in /tmp as 1000\n"
    assert container.talk.event("exec-exit").code == 0
    stream.close()
    remove(container)


def test_exec_in_a_terminal(make: Make, runtime: str) -> None:
    container = running(make)
    script = "stty size; read x; stty size"
    if runtime == "runsc":  # it ignores consoleSize: the monitor's own setting comes a bit later
        script = f"until stty size | grep -q '30 90'; do sleep 0.01; done; {script}"
    stream = container.exec(["sh", "-c", script], tty=True, stdin=True, console_size=(30, 90))
    assert stream is not None
    stream.until(b"30 90\r\n")
    container.talk.ask(Resize(rows=20, columns=70, exec_id="e1"))
    stream.write(b"\r")
    assert b"20 70\r\n" in stream.raw()
    assert container.talk.event("exec-exit").code == 0
    stream.close()
    remove(container)


def test_detached_exec_is_killed_and_keeps_its_code(make: Make) -> None:
    container = running(make)
    assert container.exec(["sleep", "1000"], attach=False) is None
    assert container.state.execs["e1"]["status"] == "running"
    container.talk.ask(Kill(signal=9, exec_id="e1"))
    assert container.talk.event("exec-exit").code == 137
    with pytest.raises(NotFound):
        container.talk.ask(Kill(signal=9, exec_id="e1"))
    assert container.state.execs["e1"]["exit_code"] == 137
    remove(container)


def test_exec_that_can_not_be_executed(make: Make) -> None:
    container = running(make)
    with pytest.raises(ProgramNotFound):
        container.exec(["missing"], exec_id="a")
    with pytest.raises(ProgramNotExecutable):
        container.exec(["/bin/plain"], exec_id="b")
    execs = container.state.execs
    assert (execs["a"]["exit_code"], execs["b"]["exit_code"]) == (127, 126)
    assert container.talk.ask(GetState())["status"] == "running"
    remove(container)


def test_execs_end_with_their_container(make: Make) -> None:
    container = running(make)
    stream = container.exec(["sleep", "1000"])
    assert stream is not None
    container.talk.ask(Kill(signal=9))
    assert container.talk.event("exec-exit").code == 137
    assert stream.raw() == b""
    assert container.wait().code == 137
    assert container.state.execs["e1"]["status"] == "exited"
    stream.close()


def test_many_execs_at_once(make: Make) -> None:
    container = running(make)
    streams = [container.exec(["echo", str(n)], exec_id=f"e{n}") for n in range(8)]
    for number, stream in enumerate(streams):
        assert stream is not None
        assert stream.frames()["stdout"] == f"{number}\n".encode()
        stream.close()
    codes = {container.talk.event("exec-exit").exec_id for _ in streams}
    assert codes == {f"e{n}" for n in range(8)}
    remove(container)
