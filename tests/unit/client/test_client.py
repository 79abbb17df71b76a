"""The public Python API."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from corten.client import Client, Connection, ConnectionLost
from corten.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ProgramNotFound,
    Unavailable,
)
from corten.spec import frames
from tests.conftest import needs_root


def test_run_gives_code_and_outputs(client: Client) -> None:
    result = client.containers.run("img", ["both"])
    assert (result.code, result.stdout, result.stderr) == (0, b"to out\n", b"to err\n")


def test_run_with_input(client: Client) -> None:
    assert client.containers.run("img", ["cat"], stdin=b"x" * 300_000).stdout == b"x" * 300_000


def test_run_removes_unless_told_otherwise(client: Client) -> None:
    client.containers.run("img", ["seven"])
    assert client.containers.list() == []
    assert client.containers.run("img", ["seven"], remove=False).code == 7
    assert client.containers.list()[0].exit_code == 7


def test_verbs_of_a_container(client: Client) -> None:
    container = client.containers.start("img", ["hold"], name="x")
    assert client.containers.get("x").id == container.id
    assert container.status == "running"
    container.kill("9")
    assert container.wait() == 9
    assert container.reload().status == "exited"
    container.remove()
    with pytest.raises(NotFound, match="no such container"):
        container.reload()


def test_exec(client: Client) -> None:
    container = client.containers.start("img", ["hold"])
    result = container.exec(["anything"])
    assert (result.code, result.stdout) == (9, b"from exec\n")


def test_errors_are_the_daemons(client: Client) -> None:
    with pytest.raises(ProgramNotFound, match="executable file not found"):
        client.containers.run("img", ["absent"])
    with pytest.raises(NotFound) as caught:
        client.containers.run("none")
    assert caught.value.hint == "pull it"
    assert client.containers.run("img", ["seven"]).code == 7  # the connection is in order


def test_pull_tells_how_it_goes(client: Client) -> None:
    seen: list[str] = []
    image = client.images.pull("new", progress=lambda item: seen.append(item["status"]))
    assert seen == ["Downloading", "Pull complete"]
    assert image.tags == ["docker.io/library/new:latest"]
    assert client.images.exists("new")
    assert not client.images.exists("other")


def test_no_descriptor_is_left(client: Client) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    client.containers.run("img", ["both"])
    before = count()
    for _ in range(5):
        client.containers.run("img", ["both"])
        container = client.containers.start("img", ["hold"])
        container.attach().close()
        container.kill("9")
    assert count() == before


def test_an_abandoned_stream_is_cancelled(client: Client) -> None:
    container = client.containers.start("img", ["hold"])
    lines = container.logs(follow=True)
    del lines
    stream = client.connection.stream(
        "wait_container", tenant="docker", ref=container.id, condition="not-running"
    )
    stream.close()
    assert client.info()["containers"] == 1


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        Client(str(tmp_path / "none.sock"))
    assert "systemctl start corten" in caught.value.hint


@needs_root
def test_not_for_this_user(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    path.chmod(0o600)
    for directory in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        directory.chmod(0o755)
    pid = os.fork()
    if not pid:
        os.setgroups([])
        os.setresuid(65534, 65534, 65534)
        try:
            Connection(str(path))
        except PermissionDenied as error:
            os._exit(0 if "usermod -aG corten" in error.hint else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    listener.close()


class Scripted:
    """A server that says what the test wants."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self.connection = Connection(str(path))
        self.peer = self._listener.accept()[0]

    def close(self) -> None:
        self.connection.close()
        self.peer.close()
        self._listener.close()


@pytest.fixture
def scripted(tmp_path: Path):  # type: ignore[no-untyped-def]  # a generator
    made = Scripted(tmp_path / "s")
    yield made
    made.close()


def test_a_daemon_that_goes_away(scripted: Scripted) -> None:
    number = scripted.connection.begin("info")
    scripted.peer.close()
    with pytest.raises(ConnectionLost):
        scripted.connection.receive(number)


def test_why_it_was_refused_is_told_even_if_it_hung_up_first(scripted: Scripted) -> None:
    error = b'{"code":"permission_denied","message":"not you"}'
    scripted.peer.sendall(frames.encode(frames.ERROR, 0, error))
    scripted.peer.close()
    with pytest.raises(PermissionDenied, match="not you"):
        scripted.connection.call("info")


def test_a_deadline(scripted: Scripted) -> None:
    number = scripted.connection.begin("info")
    with pytest.raises(DeadlineExceeded):
        scripted.connection.receive(number, timeout=0.01)


def test_another_version_of_the_protocol(scripted: Scripted) -> None:
    number = scripted.connection.begin("info")
    scripted.peer.sendall(frames.HEADER.pack(0, 7, 2, 0, number))
    with pytest.raises(InvalidArgument, match="version 7"):
        scripted.connection.receive(number)


def test_a_promised_descriptor_that_is_missing(scripted: Scripted) -> None:
    scripted.peer.sendall(frames.encode(frames.REPLY, 1, b"null"))  # ahead of the request
    with pytest.raises(Internal, match="without a descriptor"):
        scripted.connection.call_for_fd("attach_container")


def test_answers_of_requests_nobody_waits_for_close_their_descriptors(scripted: Scripted) -> None:
    ours, theirs = os.pipe()
    socket.send_fds(scripted.peer, [frames.encode(frames.REPLY, 99, b"null", 1)], [ours])
    os.close(ours)
    number = scripted.connection.begin("info")
    scripted.peer.sendall(frames.encode(frames.REPLY, number, b"{}"))
    assert scripted.connection.receive(number).value == {}
    with pytest.raises(BrokenPipeError):
        os.write(theirs, b"x")
    os.close(theirs)


def test_what_importing_the_client_costs() -> None:
    """Nothing that takes milliseconds: scripts start with it."""
    code = "import sys; sys.path.insert(0, 'src'); import corten.client; print(*sys.modules)"
    done = subprocess.run(
        ["/usr/bin/python3", "-IS", "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"json", "re", "typing", "socket", "asyncio", "dataclasses", "enum", "logging"}
    assert not heavy & set(done.stdout.split())
