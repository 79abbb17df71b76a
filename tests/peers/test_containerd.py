"""containerd over ``corten-oci``: its runc.v2 shim with another ``BinaryName``."""

from __future__ import annotations

import pytest

from tests.peers.engines import Containerd
from tests.peers.test_podman import LOOP
from tests.support import eventually


def test_run_tells_output_and_code(containerd: Containerd) -> None:
    done = containerd.run("once", "--rm", command=("sh", "-c", "echo hello; exit 5"))
    assert (done.stdout, done.returncode) == ("hello\n", 5), done.stderr


def test_a_program_that_is_not_there(containerd: Containerd) -> None:
    done = containerd.run("nowhere", "--rm", command=("/nowhere",))
    assert done.returncode == 1
    assert "no such file or directory" in done.stderr


@pytest.fixture
def life(containerd: Containerd) -> Containerd:
    """A task named ``life`` that ends with 3 when it is told to."""
    done = containerd.run("life", "-d", command=LOOP)
    assert done.returncode == 0, done.stderr
    return containerd


def test_a_life(life: Containerd) -> None:
    """run, exec, pause, metrics, ps, kill, delete."""
    assert life.do("task", "exec", "--exec-id", "one", "life", "echo", "inside") == "inside\n"
    failed = life("task", "exec", "--exec-id", "two", "life", "sh", "-c", "exit 7")
    assert failed.returncode == 7
    assert life.status("life") == "RUNNING"
    life.do("task", "pause", "life")
    assert life.status("life") == "PAUSED"
    life.do("task", "resume", "life")
    assert life.status("life") == "RUNNING"
    assert "memory." in life.do("task", "metrics", "life")
    assert len(life.do("task", "ps", "life").splitlines()) >= 2
    life.do("task", "kill", "life")
    eventually(lambda: life.status("life") == "STOPPED", what="end of the task")
    assert "exit code 3" in life("task", "delete", "life").stderr
    life.do("container", "rm", "life")
    assert life.status("life") == ""
