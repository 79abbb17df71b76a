"""Additional processes in a running container."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.harness import Bundle
from tests.runtime.test_process import fields
from tests.support import eventually


@pytest.fixture
def up(box: Bundle) -> Bundle:
    box.running()
    return box


def test_output_and_exit_code(up: Bundle) -> None:
    done = up.exec("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)


def test_input(up: Bundle) -> None:
    assert up.exec("cat", input="given", stdin=None).stdout == "given"


def test_it_is_in_all_namespaces(up: Bundle) -> None:
    names = ("pid", "mnt", "net", "ipc", "uts", "cgroup", "user")
    paths = [f"/proc/self/ns/{name}" for name in names]
    seen = up.exec("readlink", *paths).stdout.split()
    assert seen == [os.readlink(f"/proc/{up.pid}/ns/{name}") for name in names]


def test_it_sees_the_containers_root_and_processes(up: Bundle) -> None:
    (up.rootfs / "mark").write_text("yes\n")
    assert up.exec("cat", "/mark").stdout == "yes\n"
    assert "sleep 60" in up.exec("ps", "ax").stdout


def test_it_is_in_the_containers_cgroup(up: Bundle) -> None:
    seen = up.exec("cat", "/proc/self/cgroup").stdout
    assert seen == Path(f"/proc/{up.pid}/cgroup").read_text()
    assert up.id in seen


def test_it_has_the_containers_rights(up: Bundle) -> None:
    ours = fields(up.exec("cat", "/proc/self/status").stdout)
    init = fields(up.exec("cat", "/proc/1/status").stdout)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"):
        assert ours[name] == init[name], name


def test_environment_and_directory(up: Bundle) -> None:
    done = up.exec("sh", "-c", "pwd; echo $A $LC_ALL $HOME", options=["--cwd", "/tmp", "-e", "A=b"])
    assert done.stdout == "/tmp\nb C /root\n"


def test_user(up: Bundle) -> None:
    options = ["--user", "1000:2000", "--additional-gids", "77"]
    done = up.exec("cat", "/proc/self/status", options=options)
    status = fields(done.stdout)
    assert status["Uid"].split()[0] == "1000"
    assert status["Gid"].split()[0] == "2000"
    assert "77" in status["Groups"].split()


def test_capability(up: Bundle) -> None:
    status = fields(up.exec("cat", "/proc/self/status", options=["--cap", "CAP_SYS_TIME"]).stdout)
    assert int(status["CapBnd"], 16) >> 25 & 1


def test_process_file(up: Bundle) -> None:
    process: dict[str, Any] = {
        "args": ["sh", "-c", "echo $ONLY; id -u; pwd"],
        "env": ["ONLY=this", "PATH=/usr/bin"],
        "cwd": "/usr",
        "user": {"uid": 1000, "gid": 1000},
    }
    (up.path / "process.json").write_text(json.dumps(process))
    done = up.runtime("exec", "--process", str(up.path / "process.json"), up.id)
    assert done.stdout == "this\n1000\n/usr\n", done.stderr


@pytest.mark.parametrize("name", ["missing", "/usr/bin/plain"])
def test_bad_program_is_255(up: Bundle, name: str) -> None:
    done = up.exec(name)
    assert done.returncode == 255
    assert "exec failed" in done.stderr


def test_detached(up: Bundle) -> None:
    pid_file = up.path / "execpid"
    options = ["--detach", "--pid-file", str(pid_file)]
    script = "echo hi; sleep 61"
    with (up.path / "log").open("w") as log:
        done = up.exec("sh", "-c", script, options=options, capture=False, stdout=log, stderr=log)
    assert done.returncode == 0
    assert "sleep" in Path(f"/proc/{int(pid_file.read_text())}/cmdline").read_text()
    eventually(lambda: (up.path / "log").read_text() == "hi\n", what="its output")


def test_signal_ends_it_with_128(up: Bundle) -> None:
    assert up.exec("sh", "-c", "kill -KILL $$").returncode == 137


def test_in_a_stopped_container(box: Bundle) -> None:
    box.running("true")
    box.stopped()
    done = box.exec("true")
    assert done.returncode == 255
    assert "stopped" in done.stderr


def test_in_a_created_container(box: Bundle) -> None:
    box.created()
    assert box.exec("echo", "early").stdout == "early\n"
    assert box.state()["status"] == "created"


def test_in_an_unknown_container(box: Bundle) -> None:
    done = box.exec("true")
    assert done.returncode in (1, 255)
    assert "does not exist" in done.stderr


def test_without_pivot_root(box: Bundle) -> None:
    box.shell("sleep 60")
    box.created("--no-pivot")
    box.start()
    (box.rootfs / "mark").write_text("yes\n")
    assert box.exec("cat", "/mark").stdout == "yes\n"


def test_many_mounts_and_processes(up: Bundle) -> None:
    for number in range(5):
        assert up.exec("echo", str(number)).stdout == f"{number}\n"


def test_nothing_but_stdio_is_open(up: Bundle) -> None:
    probe = "import posix; print(sorted(int(f) for f in posix.listdir('/proc/self/fd'))[:-1])"
    assert up.exec("/usr/bin/python3", "-IS", "-c", probe).stdout == "[0, 1, 2]\n"


def test_paused_container(up: Bundle) -> None:
    up.do("pause")
    done = up.exec("true")
    assert done.returncode == 255
    assert "paused" in done.stderr


def test_the_containers_personality(box: Bundle, ours: None) -> None:
    box.linux["personality"] = {"domain": "LINUX32"}
    box.running()
    assert box.exec("uname", "-m").stdout == "i686\n"


def test_processors_of_who_joins(box: Bundle, ours: None) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        pytest.skip("needs two processors")
    box.running()
    said = []
    for cpu in allowed[:2]:
        process = {
            "args": ["grep", "Cpus_allowed_list", "/proc/self/status"],
            "cwd": "/",
            "env": ["PATH=/usr/bin"],
            "execCPUAffinity": {"initial": str(allowed[0]), "final": str(cpu)},
        }
        path = box.path / "process.json"
        path.write_text(json.dumps(process))
        done = box.runtime("--debug", "exec", "--process", str(path), box.id)
        assert f"affinity: {1 << allowed[0]:#x}" in done.stderr
        said.append(done.stdout.split()[1])
    assert said == [str(cpu) for cpu in allowed[:2]]
