"""The real docker command lines, old and new, against a real daemon."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.transcript import box
from tests.e2e.transcript.serve import images
from tests.harness import Daemon
from tests.support import eventually

CLIS = {"20.10": "/usr/bin/docker", "28.2": "/usr/local/bin/docker"}

Docker = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(not box.BUSYBOX.exists(), reason="needs busybox-static")


@pytest.fixture(scope="module")
def names(daemon: Daemon) -> Iterator[dict[str, str]]:
    with images() as served:
        yield served


@pytest.fixture(params=CLIS)
def docker(daemon: Daemon, request: pytest.FixtureRequest) -> Docker:
    cli = CLIS[request.param]
    if not shutil.which(cli):
        pytest.skip(f"docker {request.param} is not installed at {cli}")

    def run(*args: str, check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
        return daemon.docker(*args, cli=cli, check=check, **options)

    return run


@pytest.fixture
def image(docker: Docker, names: dict[str, str]) -> str:
    docker("pull", "-q", names["box"])
    return names["box"]


def test_version(docker: Docker) -> None:
    shown = json.loads(docker("version", "--format", "{{json .Server}}").stdout)
    assert (shown["ApiVersion"], shown["MinAPIVersion"]) == ("1.55", "1.24")


def test_info(docker: Docker, daemon: Daemon) -> None:
    done = docker("info", "--format", "{{json .}}")
    shown = json.loads(done.stdout)
    assert shown["DockerRootDir"] == str(daemon.root)
    assert shown["OSType"] == "linux"
    assert not shown.get("ServerErrors")


def test_pull_and_images(docker: Docker, names: dict[str, str]) -> None:
    done = docker("pull", names["entry"])
    assert f"for {names['entry']}:latest" in done.stdout
    assert docker("pull", names["entry"]).stdout.count("Image is up to date for") == 1
    listed = docker("images", "--format", "{{.Repository}}:{{.Tag}}", names["entry"]).stdout
    assert listed == f"{names['entry']}:latest\n"
    shown = json.loads(docker("image", "inspect", names["entry"]).stdout)[0]
    assert shown["Config"]["Entrypoint"] == box.ENTRY["Entrypoint"]
    done = docker("rmi", names["entry"])
    assert f"Untagged: {names['entry']}:latest" in done.stdout
    assert docker("images", "-q", names["entry"]).stdout == ""


def test_pull_of_what_there_is_not(docker: Docker, names: dict[str, str]) -> None:
    done = docker("pull", f"{names['box']}-nosuch", check=False)
    assert done.returncode == 1
    assert "nosuch" in done.stderr


def test_run_pulls_what_is_missing(docker: Docker, names: dict[str, str]) -> None:
    docker("rmi", "-f", names["entry"], check=False)
    done = docker("run", "--rm", names["entry"])
    assert done.stdout == "entry one two\n"
    assert "Unable to find image" in done.stderr


def test_run_exec_logs_stop_rm(docker: Docker, image: str) -> None:
    ident = docker(
        "run", "-d", "--name", "one-c", "-e", "A=1", image, "sh", "-c", "echo $A; exec sleep 60"
    )
    assert docker("ps", "-q", "--no-trunc").stdout == ident.stdout
    eventually(lambda: docker("logs", "one-c").stdout == "1\n", what="the log")
    done = docker("exec", "-i", "one-c", "sh", "-c", "cat; exit 3", check=False, input="fed")
    assert (done.returncode, done.stdout) == (3, "fed")
    assert docker("top", "one-c").stdout.splitlines()[1].endswith("sleep 60")
    docker("stop", "-t", "0", "one-c")
    assert docker("wait", "one-c").stdout == "137\n"
    shown = json.loads(docker("inspect", "one-c").stdout)[0]
    assert (shown["State"]["Status"], shown["State"]["ExitCode"]) == ("exited", 137)
    assert docker("rm", "one-c").stdout == "one-c\n"
    assert docker("inspect", "one-c", check=False).returncode == 1


def test_limits_are_shown_and_hold(docker: Docker, image: str) -> None:
    files = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null"
    done = docker("run", "--rm", "-m", "64m", "--cpus", "0.5", image, "sh", "-c", f"{files}; true")
    assert done.stdout == f"{64 << 20}\n"


def test_bind_user_directory(docker: Docker, image: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    words = ["-v", f"{tmp_path}:/d", "-w", "/d", "-u", "1000:1001"]
    docker("run", "--rm", *words, image, "sh", "-c", "echo kept >f")
    assert (tmp_path / "f").read_text() == "kept\n"
    assert ((tmp_path / "f").stat().st_uid, (tmp_path / "f").stat().st_gid) == (1000, 1001)


def test_published_port(docker: Docker, image: str) -> None:
    program = ("nc", "-ll", "-p", "80", "-e", "echo", "hi")
    docker("run", "-d", "--name", "p1", "-p", "127.0.0.1::80", image, *program)
    try:
        address, _, port = docker("port", "p1", "80").stdout.strip().rpartition(":")
        assert address == "127.0.0.1"
        assert eventually(lambda: answer(int(port)), what="an answer") == b"hi\n"
        listed = docker("ps", "--format", "{{.Ports}}", "--filter", "name=^/p1$").stdout
        assert listed == f"127.0.0.1:{port}->80/tcp\n"
    finally:
        docker("rm", "-f", "p1")


def answer(port: int) -> bytes:
    with socket.socket() as client:
        client.settimeout(5)
        try:
            client.connect(("127.0.0.1", port))
            return client.recv(100)
        except OSError:
            return b""


def test_events(docker: Docker, image: str) -> None:
    # A name of its own, as the daemon tells the other command line's events, too; and the
    # end of the time span is cut to a second.
    name = f"e{os.urandom(4).hex()}"
    docker("run", "--rm", "--name", name, image, "true")
    wanted = ["--filter", f"container={name}", "--format", "{{.Action}}", "--since", "60s"]

    def seen() -> list[str]:
        return docker("events", *wanted, "--until", "0s").stdout.split("\n")

    eventually(lambda: "destroy" in seen(), what="the event of the removal")
    order = [action for action in seen() if action in ("create", "start", "die", "destroy")]
    assert order == ["create", "start", "die", "destroy"]


def test_networks_that_there_are(docker: Docker) -> None:
    listed = docker("network", "ls", "--format", "{{.Name}} {{.Driver}}").stdout.splitlines()
    assert sorted(listed) == ["bridge bridge", "host host", "none null"]
    assert docker("network", "inspect", "nosuch", check=False).returncode == 1
    assert docker("volume", "ls", "-q").stdout == ""


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["swarm", "init"], "swarm mode is not implemented by corten yet"),
        (["search", "x"], "searching a registry is not implemented by corten yet"),
    ],
)
def test_what_is_not_there_names_itself(docker: Docker, args: list[str], words: str) -> None:
    done = docker(*args, check=False)
    assert done.returncode != 0
    assert words in done.stderr


def test_a_hidden_change_of_behaviour_is_refused(docker: Docker, image: str) -> None:
    done = docker("run", "--rm", "--gpus", "all", image, "true", check=False)
    assert done.returncode == 125
    assert " yet" in done.stderr
