"""What a user gets wrong, or the machine does not have: the command line says what and what
to do, with docker's exit codes, and nothing is left half made."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults import steps
from tests.faults.machine import BUSYBOX, IMAGE, Machine
from tests.support import eventually

PORT = 8123


class Case(NamedTuple):
    """A command line, its exit code, and what it must say."""

    words: list[str]
    code: int
    says: str


_RUN = ["run", "--rm", "--name", steps.NAME]
CASES = {
    "unknown image": Case([*_RUN, "127.0.0.1:1/nothing", "true"], 125, "127.0.0.1:1"),
    "malformed image": Case([*_RUN, "No Such/Image", "true"], 125, "invalid reference"),
    "missing program": Case([*_RUN, IMAGE, "nothing"], 127, "executable file not found in $PATH"),
    "missing path": Case([*_RUN, IMAGE, "/no/thing"], 127, "no such file or directory"),
    "no program": Case([*_RUN, IMAGE, "/etc/passwd"], 126, "permission denied"),
    "a directory": Case([*_RUN, IMAGE, "/etc"], 126, '"/etc": is a directory'),
    "port in use": Case([*_RUN, "-p", f"{PORT}:80", IMAGE, BUSYBOX], 125, f"{PORT}"),
    "unknown user": Case([*_RUN, "-u", "nobody2", IMAGE, BUSYBOX], 125, "nobody2"),
    "unknown network": Case([*_RUN, "--network", "nothing", IMAGE, BUSYBOX], 125, "nothing"),
    "missing source": Case(
        [*_RUN, "--mount", "type=bind,src=/no/such,dst=/x", IMAGE, BUSYBOX], 125, "/no/such"
    ),
    "no container": Case(["start", "nothing"], 1, "No such container: nothing"),
    "too little memory": Case([*_RUN, "-m", "1k", IMAGE, BUSYBOX], 125, "memory"),
    "dead registry": Case(["pull", "127.0.0.1:1/image"], 1, "127.0.0.1:1"),
}


@pytest.fixture
def listening(calm: Machine) -> object:
    """Somebody else has the port."""
    words = [*calm.inside(), "busybox", "nc", "-l", "-p", str(PORT)]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as other:
        try:
            eventually(lambda: _listens(other.pid), what="it listens")
            yield other
        finally:
            other.kill()


def _listens(pid: int) -> bool:
    """Whether somebody listens at the port, in the network namespace of this process."""
    rows: list[str] = []
    for name in ("tcp", "tcp6"):
        rows += Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
    fields = [row.split() for row in rows]
    return any(one[1].endswith(f":{PORT:04X}") and one[3] == "0A" for one in fields)


@pytest.mark.parametrize("client", ["corten", "docker"])
@pytest.mark.parametrize("name", CASES)
def test_wrong(calm: Machine, listening: object, name: str, client: str) -> None:
    case = CASES[name]
    run: Callable[..., subprocess.CompletedProcess[str]] = getattr(calm, client)
    done = run(*case.words, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == case.code, said
    assert case.says in said, said
    assert "Traceback" not in said and "internal error" not in said.lower(), said
    with calm.client() as found:
        assert calm.container(found, steps.NAME) is None


def test_the_same_name_works_afterwards(calm: Machine) -> None:
    """Without ``--rm`` a container that did not start is there, and says why."""
    failed = calm.corten("run", "--name", steps.NAME, IMAGE, "nothing", check=False)
    assert failed.returncode == 127
    with calm.client() as client:
        one = client.containers.get(steps.NAME)
        assert one.status == "created"
        assert one.exit_code == 127
        assert "executable file not found" in one.attrs["state"]["error"]
        one.remove()
        steps.runs_again(client)
