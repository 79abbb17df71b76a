"""podman over ``corten-oci``."""

from __future__ import annotations

from pathlib import Path

from tests.peers.engines import Podman
from tests.support import eventually

V2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
LOOP = ("sh", "-c", "echo started; trap 'exit 3' TERM; while :; do sleep 0.1; done")


def test_run_tells_output_and_code(podman: Podman) -> None:
    done = podman.run("--rm", command=("sh", "-c", "echo hello; exit 5"))
    assert (done.stdout, done.returncode) == ("hello\n", 5)


def test_a_program_that_is_not_there(podman: Podman) -> None:
    done = podman.run("--rm", command=("/nowhere",))
    assert done.returncode == 127, done.stderr


def test_a_program_that_can_not_be_executed(podman: Podman) -> None:
    done = podman.run("--rm", command=("/etc/passwd",))
    assert done.returncode == 126, done.stderr


def test_a_terminal(podman: Podman) -> None:
    done = podman.run("--rm", "--tty", command=("test", "-t", "1"))
    assert done.returncode == 0, done.stderr


def test_limits(podman: Podman) -> None:
    if V2:
        files = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/pids.max")
    else:
        files = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/pids/pids.max")
    done = podman.run("--rm", "-m", "64m", "--pids-limit", "20", command=("cat", *files))
    assert done.stdout.split() == [str(64 << 20), "20"], done.stderr


def test_a_life(podman: Podman) -> None:
    """run, exec, logs, pause, stats, top, stop, wait, rm."""
    assert podman.run("-d", "--name", "life", command=LOOP).returncode == 0
    assert podman.do("exec", "life", "echo", "inside") == "inside\n"
    assert podman("exec", "life", "sh", "-c", "exit 7").returncode == 7
    assert podman("exec", "life", "/nowhere").returncode == 127
    eventually(lambda: podman.do("logs", "life") == "started\n", what="log")
    podman.do("pause", "life")
    assert podman.do("inspect", "--format", "{{.State.Status}}", "life") == "paused\n"
    podman.do("unpause", "life")
    assert "life" in podman.do("stats", "--no-stream", "life")
    assert "trap" in podman.do("top", "life")
    podman.do("stop", "--time", "10", "life")
    assert podman.do("wait", "life") == "3\n"
    podman.do("rm", "life")


def test_update_and_kill(podman: Podman) -> None:
    podman.run("-d", "--name", "killed", "-m", "64m", command=("sleep", "60"))
    podman.do("update", "--memory", "96m", "killed")
    pid = podman.do("inspect", "--format", "{{.State.Pid}}", "killed").strip()
    assert str(96 << 20) in limit_of(pid)
    podman.do("kill", "killed")
    assert podman.do("wait", "killed") == "137\n"


def limit_of(pid: str) -> str:
    """The memory limit of a process's group."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if V2:
            return (Path(f"/sys/fs/cgroup{path}") / "memory.max").read_text()
        if names == "memory":
            place = Path(f"/sys/fs/cgroup/memory{path}")
            return (place / "memory.limit_in_bytes").read_text()
    raise AssertionError(f"{pid} has no memory group")
