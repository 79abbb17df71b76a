"""A container's life through the engine: states, exits, signals, streams, execs, logs."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from corten.client import Client
from corten.client.records import Container
from corten.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    NotModified,
    ProgramNotExecutable,
    ProgramNotFound,
)
from tests.e2e.engine_support import (
    IMAGE,
    NO_NETWORK,
    connect,
    make_image,
    output,
    removed,
    shell,
)
from tests.harness import Daemon
from tests.support import catches, eventually


@pytest.fixture(scope="module")
def client(daemon: Daemon) -> Iterator[Client]:
    make_image(daemon)
    made = connect(daemon)
    yield made
    made.close()


# --- states -----------------------------------------------------------------------------


def test_create_start_wait_remove(client: Client) -> None:
    made = client.containers.create(IMAGE, ["sh", "-c", "exit 3"], namespaces=NO_NETWORK)
    assert made.status == "created"
    assert made.start().status == "running"
    assert made.wait() == 3
    state = made.reload().attrs["state"]
    assert (state["status"], state["exit_code"]) == ("exited", 3)
    assert state["finished_at"] > state["started_at"] > 0
    assert {step["step"] for step in made.attrs["steps"]} >= {"record", "create", "start"}
    made.remove()
    with pytest.raises(NotFound, match="No such container"):
        client.containers.get(made.id)


def test_a_container_can_be_started_again(client: Client) -> None:
    with removed(shell(client, "echo run >>/runs; cat /runs")) as one:
        one.wait()
        one.start().wait()
        assert [line.data for line in one.logs()] == [b"run\n", b"run\n", b"run\n"]


def test_a_restart_keeps_what_is_removed_with_its_end(client: Client) -> None:
    one = shell(client, "trap 'exit 5' TERM; while :; do sleep 0.05; done", auto_remove=True)
    before = _trapped(one)
    assert one.restart(timeout=30).status == "running"
    assert _trapped(one.reload()) not in (0, before)
    one.stop(timeout=30)
    eventually(lambda: one.id not in [c.id for c in client.containers.list()])


def test_a_restart_starts_what_does_not_run(client: Client) -> None:
    with removed(shell(client, "echo run; sleep 0.1")) as one:
        one.wait()
        one.restart()
        one.wait()
        assert [line.data for line in one.logs()] == [b"run\n", b"run\n"]


def test_what_the_states_forbid(client: Client) -> None:
    with removed(shell(client, "sleep 60")) as one:
        with pytest.raises(NotModified):
            one.start()
        with pytest.raises(FailedPrecondition, match="cannot remove a running container"):
            one.remove()
        with pytest.raises(FailedPrecondition, match="not paused"):
            one.unpause()
        one.kill()
        assert one.reload().exit_code == 137
        with pytest.raises(NotModified):
            one.stop()
        with pytest.raises(FailedPrecondition, match="not running"):
            one.kill()
        with pytest.raises(FailedPrecondition, match="not running"):
            one.exec(["true"])
        with pytest.raises(FailedPrecondition, match="not running"):
            one.pause()


def test_names(client: Client) -> None:
    with removed(client.containers.create(IMAGE, name="one", namespaces=NO_NETWORK)) as made:
        with pytest.raises(AlreadyExists, match='The container name "/one" is already in use'):
            client.containers.create(IMAGE, name="one")
        assert client.containers.get("one").id == made.id
        assert client.containers.get(made.id[:12]).id == made.id
    with removed(client.containers.create(IMAGE, name="one")):  # the name is free again
        pass
    with pytest.raises(InvalidArgument, match="Invalid container name"):
        client.containers.create(IMAGE, name="a b")


def test_requests_that_can_never_work(client: Client) -> None:
    before = len(client.containers.list())
    with pytest.raises(NotFound):
        client.containers.create("no-such-image")
    wrong: list[tuple[type[Exception], dict[str, Any]]] = [
        (InvalidArgument, {"runtime": "no-such-runtime"}),
        (InvalidArgument, {"stop_signal": "NOPE"}),
        (InvalidArgument, {"security": {"cap_add": ["BOGUS"]}}),
        (InvalidArgument, {"mounts": [{"type": "volume", "source": "v", "target": "/v"}]}),
        (InvalidArgument, {"resources": {"memory": 1024}}),
        (InvalidArgument, {"working_dir": "relative"}),
    ]
    for error, config in wrong:
        with pytest.raises(error):
            client.containers.create(IMAGE, **config)
    assert len(client.containers.list()) == before


@pytest.mark.parametrize(
    ("program", "error", "code"),
    [("no-such-program", ProgramNotFound, 127), ("/etc/passwd", ProgramNotExecutable, 126)],
)
def test_programs_that_cannot_run(
    client: Client, program: str, error: type[Exception], code: int
) -> None:
    made = client.containers.create(IMAGE, [program], namespaces=NO_NETWORK)
    with removed(made):
        with pytest.raises(error, match=program):
            made.start()
        made.reload()
        assert (made.status, made.exit_code) == ("created", code)
        assert program in made.attrs["state"]["error"]


def test_auto_remove(client: Client) -> None:
    one = client.containers.create(
        IMAGE, ["sh", "-c", "exit 4"], auto_remove=True, namespaces=NO_NETWORK
    )
    # Whoever asks after the start may come too late.
    asked = {"tenant": "docker", "ref": one.id, "condition": "removed"}
    number = client.connection.begin("wait_container", **asked)
    one.start()
    assert client.connection.receive(number, timeout=30).value["code"] == 4
    failing = client.containers.create(
        IMAGE, ["no-such-program"], auto_remove=True, namespaces=NO_NETWORK
    )
    with pytest.raises(ProgramNotFound):
        failing.start()
    eventually(lambda: failing.id not in [c.id for c in client.containers.list()])


# --- signals ----------------------------------------------------------------------------

TRAP = "trap 'echo got TERM; exit 5' TERM; trap 'exit 6' USR1; echo ready; "
LOOP = "while :; do sleep 0.05; done"


def test_stop_sends_the_stop_signal(client: Client) -> None:
    with removed(shell(client, TRAP + LOOP)) as one:
        _ready(one)
        assert one.stop(timeout=30).exit_code == 5
    with removed(shell(client, TRAP + LOOP, stop_signal="USR1")) as one:
        _ready(one)
        assert one.stop(timeout=30).exit_code == 6


def test_stop_kills_what_does_not_end(client: Client) -> None:
    with removed(shell(client, "trap '' TERM; echo ready; " + LOOP)) as one:
        _ready(one)
        begun = time.monotonic()
        assert one.stop(timeout=0.3).exit_code == 137
        assert 0.3 <= time.monotonic() - begun < 20


def test_a_less_patient_stop_does_not_wait_for_the_first(client: Client, daemon: Daemon) -> None:
    with removed(shell(client, "trap 'echo told' TERM; echo ready; " + LOOP)) as one:
        _ready(one)
        other = connect(daemon)
        patient = threading.Thread(target=other.containers.get(one.id).stop, kwargs={"timeout": 99})
        patient.start()
        eventually(lambda: b"told\n" in [line.data for line in one.logs()], what="the first stop")
        assert one.stop(timeout=0.1).exit_code == 137
        patient.join(20)
        assert not patient.is_alive()
        other.close()


def test_kill_with_a_signal(client: Client) -> None:
    with removed(shell(client, TRAP + LOOP)) as one:
        _ready(one)
        one.kill("USR1")
        assert one.wait() == 6


def test_pause(client: Client) -> None:
    with removed(shell(client, "while :; do echo tick; sleep 0.02; done")) as one:
        one.pause()
        assert one.reload().status == "paused"
        with pytest.raises(FailedPrecondition, match="paused"):
            one.exec(["true"])
        # What was printed before may still be on its way into the log.
        eventually(lambda: _lines_in(one, 0.1) == 0, what="an end of the ticks")
        count = len(list(one.logs()))
        one.unpause()
        assert one.reload().status == "running"
        eventually(lambda: len(list(one.logs())) > count)
        one.pause()  # and a paused one can be removed


def _lines_in(container: Container, seconds: float) -> int:
    """How many lines a container prints in that time: their absence has no event."""
    before = len(list(container.logs()))
    time.sleep(seconds)
    return len(list(container.logs())) - before


def _trapped(container: Container) -> int:
    """The process id of a container, once its program hears SIGTERM."""
    pid = int(container.attrs["state"]["pid"])
    eventually(lambda: catches(pid, signal.SIGTERM), what="the shell's trap is set")
    return pid


def _ready(container: object) -> None:
    eventually(lambda: list(container.logs()), what="the script's first line")  # type: ignore[attr-defined]


# --- streams ----------------------------------------------------------------------------


def test_attach_before_the_start(client: Client) -> None:
    made = client.containers.create(
        IMAGE,
        ["sh", "-c", "cat; echo err >&2"],
        open_stdin=True,
        stdin_once=True,
        namespaces=NO_NETWORK,
    )
    with removed(made), made.attach(stdin=True) as stream:
        stream.write(b"early ")
        made.start()
        stream.write(b"late\n")
        stream.close_stdin()
        assert stream.read_all() == (b"early late\n", b"err\n")
        assert made.wait() == 0


def test_a_stream_that_nobody_starts_is_not_kept(client: Client, daemon: Daemon) -> None:
    made = client.containers.create(IMAGE, ["true"], namespaces=NO_NETWORK)
    assert daemon.process is not None
    descriptors = f"/proc/{daemon.process.pid}/fd"
    with removed(made):
        made.attach().close()
        before = len(os.listdir(descriptors))
        for _ in range(20):
            made.attach().close()
        # What is kept is kept each time; a few more say nothing, as the database's next reader.
        eventually(lambda: len(os.listdir(descriptors)) < before + 10, what="they are closed")
        assert made.start().wait() == 0


def test_exec(client: Client) -> None:
    with removed(shell(client, "sleep 60", env={"A": "container"}, working_dir="/tmp")) as one:
        done = one.exec(["sh", "-c", "echo $A $B; pwd; exit 9"], env={"B": "exec"})
        assert (done.code, done.stdout) == (9, b"container exec\n/tmp\n")
        assert one.exec(["cat"], stdin=b"typed").stdout == b"typed"
        assert one.exec(["id", "-u"], user="1234").stdout == b"1234\n"
        with pytest.raises(ProgramNotFound):
            one.exec(["no-such-program"])


# --- logs -------------------------------------------------------------------------------


def test_logs(client: Client) -> None:
    script = "for i in $(seq 5); do echo out $i; echo err $i >&2; done; printf torn"
    with removed(shell(client, script)) as one:
        one.wait()
        lines = list(one.logs())
        assert len(lines) == 11
        assert [line.data for line in one.logs(stdout=False)] == [
            b"err %d\n" % n for n in range(1, 6)
        ]
        middle = sorted(line.time for line in lines)[5]
        assert all(line.time >= middle for line in one.logs(since=middle))


def test_the_last_lines_of_a_log(client: Client) -> None:
    # on one stream: which of two is read first is nobody's promise
    with removed(shell(client, "echo first; echo second; printf torn")) as one:
        one.wait()
        assert [(line.data, line.partial) for line in one.logs(tail=2)] == [
            (b"second\n", False),
            (b"torn", True),
        ]


def test_logs_are_followed_to_the_end_across_rotations(client: Client) -> None:
    script = "for i in $(seq 3000); do echo line $i; done"
    log = {"driver": "json-file", "options": {"max-size": "20k", "max-file": "100"}}
    with removed(shell(client, "sleep 0.2; " + script, log=log)) as one:
        lines = [line.data for line in one.logs(follow=True)]
        assert lines == [b"line %d\n" % n for n in range(1, 3001)]
        assert [line.data for line in one.logs()] == lines
        assert [line.data for line in one.logs(tail=700)] == lines[-700:]


def test_no_log(client: Client) -> None:
    with removed(shell(client, "echo x", log={"driver": "none"})) as one:
        one.wait()
        with pytest.raises(InvalidArgument, match="does not support reading"):
            list(one.logs())


# --- what is seen inside ----------------------------------------------------------------


def test_the_process(client: Client) -> None:
    assert output(client, "id -u; id -g", user="7:8").split() == ["7", "8"]
    assert output(client, "pwd", working_dir="/made/for/me").strip() == "/made/for/me"
    assert "A=1" in output(client, "env", env={"A": "1"}).split()
    assert output(client, "cat /proc/sys/kernel/hostname", hostname="own").strip() == "own"
    assert output(client, "echo $$").strip() == "1"


def test_binds(client: Client, daemon: Daemon) -> None:
    source = daemon.base / "bind"
    source.mkdir()
    mount = {"type": "bind", "source": str(source), "target": "/mnt/here"}
    output(client, "echo x >/mnt/here/file", mounts=[mount])
    assert (source / "file").read_text() == "x\n"
    refused = output(
        client, "touch /mnt/here/y 2>&1 || echo refused", mounts=[{**mount, "read_only": True}]
    )
    assert "refused" in refused
    missing = {**mount, "source": str(source / "missing")}
    with pytest.raises(InvalidArgument, match="does not exist"):
        client.containers.run(IMAGE, ["true"], mounts=[missing])
    output(client, "true", mounts=[{**missing, "create_source": True}])
    assert (source / "missing").is_dir()


def test_limits_can_be_seen_inside(client: Client) -> None:
    limits = {"memory": 32 << 20, "pids_limit": 50}
    with removed(shell(client, "exec sleep 60", resources=limits)) as one:
        files = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max")
        seen = one.exec(["sh", "-c", f"cat {files[0]} 2>/dev/null || cat {files[1]}"])
        assert seen.stdout.strip() == b"%d" % (32 << 20)
        assert one.top() == [one.attrs["state"]["pid"]]


def test_etc_files(client: Client) -> None:
    found = output(
        client,
        "cat /etc/hosts /etc/hostname /etc/resolv.conf",
        hostname="me",
        extra_hosts=["db:10.9.8.7"],
        dns=["9.9.9.9"],
        dns_search=["example.org"],
    )
    for words in ("10.9.8.7\tdb", "me\n", "nameserver 9.9.9.9", "search example.org"):
        assert words in found


def test_joining_another_container(client: Client) -> None:
    with removed(shell(client, "sleep 60")) as one:
        spaces = {"network": f"container:{one.id}", "pid": f"container:{one.name}"}
        inside = output(client, "stat -Lc %i /proc/1/ns/net /proc/self/ns/net", namespaces=spaces)
        assert len(set(inside.split())) == 1
        one.kill()
        with pytest.raises(FailedPrecondition, match="non running container"):
            client.containers.run(IMAGE, ["true"], namespaces=spaces)


# --- tenants and images -----------------------------------------------------------------


def test_tenants_do_not_see_each_other(client: Client, daemon: Daemon) -> None:
    other = connect(daemon, "k8s")
    with removed(client.containers.create(IMAGE, name="mine", namespaces=NO_NETWORK)) as mine:
        with pytest.raises(NotFound):
            other.containers.get(mine.id)
        shared = other.images.get(IMAGE)
        assert shared.attrs["pinned"]
        with removed(other.containers.create(IMAGE, name="mine", namespaces=NO_NETWORK)) as theirs:
            assert theirs.id != mine.id
            assert [c.id for c in other.containers.list()] == [theirs.id]
    other.close()


def test_an_image_in_use_stays(client: Client) -> None:
    image = client.images.from_host("used:1", ["true"])
    made = client.containers.create("used:1", namespaces=NO_NETWORK)
    with removed(made), pytest.raises(FailedPrecondition):
        client.images.remove("used:1")
    assert client.images.remove("used:1")
    with pytest.raises(NotFound):
        client.images.get(image.id)


def test_events_tell_the_story(client: Client) -> None:
    begun = time.time_ns()
    with removed(shell(client, "exit 2", labels={"story": "1"})) as one:
        one.wait()
    events = [
        event for event in client.events(since=begun, until=time.time_ns()) if event["id"] == one.id
    ]
    assert [event["action"] for event in events] == ["create", "start", "die", "destroy"]
    assert events[2]["attributes"]["exitCode"] == "2"
    assert events[0]["attributes"]["story"] == "1"
    assert [e["seq"] for e in events] == sorted(e["seq"] for e in events)
    assert len({e["boot_id"] for e in events}) == 1


def test_info(client: Client, daemon: Daemon) -> None:
    info = client.info()
    assert info["prefix"] == daemon.prefix
    assert info["root"] == str(daemon.root)
