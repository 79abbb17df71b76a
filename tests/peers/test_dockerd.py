"""dockerd over ``corten-oci``, as ``--add-runtime`` and ``--default-runtime`` make it."""

from __future__ import annotations

from tests.peers.engines import Dockerd
from tests.peers.test_podman import LOOP, V2, limit_of
from tests.support import eventually


def test_it_is_the_default_runtime(dockerd: Dockerd) -> None:
    assert dockerd.do("info", "--format", "{{.DefaultRuntime}}") == "corten\n"


def test_run_tells_output_and_code(dockerd: Dockerd) -> None:
    done = dockerd.run("--rm", command=("sh", "-c", "echo hello; exit 5"))
    assert (done.stdout, done.returncode) == ("hello\n", 5), done.stderr


def test_a_program_that_is_not_there(dockerd: Dockerd) -> None:
    done = dockerd.run("--rm", command=("/nowhere",))
    assert done.returncode == 127, done.stderr
    assert "no such file or directory" in done.stderr


def test_a_program_that_can_not_be_executed(dockerd: Dockerd) -> None:
    done = dockerd.run("--rm", command=("/etc/passwd",))
    assert done.returncode == 126, done.stderr


def test_a_terminal(dockerd: Dockerd) -> None:
    done = dockerd.run("--rm", "--tty", command=("test", "-t", "1"))
    assert done.returncode == 0, done.stderr


def test_standard_input(dockerd: Dockerd) -> None:
    done = dockerd("run", "--rm", "-i", dockerd.IMAGE, "cat", stdin="through")
    assert done.stdout == "through", done.stderr


def test_limits(dockerd: Dockerd) -> None:
    if V2:
        files = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/pids.max")
    else:
        files = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/pids/pids.max")
    done = dockerd.run("--rm", "-m", "64m", "--pids-limit", "20", command=("cat", *files))
    assert done.stdout.split() == [str(64 << 20), "20"], done.stderr


def test_a_life(dockerd: Dockerd) -> None:
    """run, exec, logs, pause, stats, top, stop, wait, rm."""
    assert dockerd.run("-d", "--name", "life", command=LOOP).returncode == 0
    assert dockerd.do("exec", "life", "echo", "inside") == "inside\n"
    assert dockerd("exec", "life", "sh", "-c", "exit 7").returncode == 7
    assert dockerd("exec", "life", "/nowhere").returncode in (126, 127)
    eventually(lambda: dockerd.do("logs", "life") == "started\n", what="log")
    dockerd.do("pause", "life")
    assert dockerd.do("inspect", "--format", "{{.State.Status}}", "life") == "paused\n"
    dockerd.do("unpause", "life")
    assert "life" in dockerd.do("stats", "--no-stream", "life")
    assert "trap" in dockerd.do("top", "life")
    dockerd.do("stop", "--time", "10", "life")
    assert dockerd.do("wait", "life") == "3\n"
    dockerd.do("rm", "life")


def test_update_and_kill(dockerd: Dockerd) -> None:
    dockerd.run("-d", "--name", "killed", "-m", "64m", command=("sleep", "60"))
    dockerd.do("update", "--memory", "96m", "--memory-swap", "200m", "killed")
    pid = dockerd.do("inspect", "--format", "{{.State.Pid}}", "killed").strip()
    assert str(96 << 20) in limit_of(pid)
    dockerd.do("kill", "killed")
    assert dockerd.do("wait", "killed") == "137\n"


def test_a_process_that_needs_too_much_is_told_of(dockerd: Dockerd) -> None:
    hungry = ("python3", "-IS", "-c", "x = bytearray(64 << 20)")
    done = dockerd.run("--name", "hungry", "-m", "24m", "--memory-swap", "24m", command=hungry)
    assert done.returncode == 137, done.stderr
    assert dockerd.do("inspect", "--format", "{{.State.OOMKilled}}", "hungry") == "true\n"
