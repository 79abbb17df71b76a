"""The same runtime called in process, as the monitor does: root file systems from mounts, a
caller in a mount namespace of its own, descriptors of namespaces, errors with step and path."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.harness import SOURCE, base_config

DRIVER = """
import posix, sys
sys.path.insert(0, sys.argv[1])
from corten import errors
from corten.kernel import mounts, namespaces
from corten.kernel.process import wait_pidfd
from corten.oci import container, lifecycle
from corten.oci.plan import PlanOptions, compile_plan
from corten.spec import jsonlite, mount
job = jsonlite.loads(sys.stdin.read())
host = posix.open("/proc/self/ns/mnt", posix.O_RDONLY)
namespaces.unshare(namespaces.CLONE_NEWNS)
mounts.mount("", "/", "", mounts.MS_REC | mounts.MS_SLAVE)
mounts.mount("hidden", "/mnt", "tmpfs")  # must not be seen in the container
own = posix.stat("/proc/self/ns/mnt").st_ino
sys.meta_path.clear(); sys.path.clear()  # nothing may be imported from here on
answer = {}
try:
    options = PlanOptions(container_id="x", host_mount_ns=host, rootfs=job["rootfs"])
    mounted = tuple([mount.from_dict(m) for m in job["mounts"]])
    plan = compile_plan(job["config"], bundle=job["bundle"], rootfs_mounts=mounted, options=options)
    read, write = posix.pipe()
    created = container.create(plan, stdio=(0, write, write))
    posix.close(write)
    answer["steps"] = [name for name, _ in created.steps]
    if job.get("exec"):
        container.start(created)
        target = {"pid": created.pid, "pidfd": created.pidfd}
        started = container.exec_process(plan.process, job["exec"], **target)
        answer["exec"] = wait_pidfd(started.pidfd)
        lifecycle.kill(created.pidfd)
    elif job.get("abort"):
        container.abort(created)
    else:
        container.start(created)
    if created.pidfd >= 0:
        answer["code"] = wait_pidfd(created.pidfd)
    text = b""
    while piece := posix.read(read, 65536):
        text += piece
    answer["out"] = text.decode()
except errors.CortenError as error:
    answer["error"] = error.to_dict()
    if "created" in globals():
        container.abort(created)
assert posix.stat("/proc/self/ns/mnt").st_ino == own  # the caller is where it was
try:
    answer["children"] = posix.waitpid(-1, posix.WNOHANG)[0]
except ChildProcessError:
    answer["children"] = None
print(jsonlite.dumps(answer))
"""


class Job:
    def __init__(self, base: Path, place: Path) -> None:
        self.place = place
        for name in ("upper", "work", "merged"):
            (place / name).mkdir(parents=True)
        self.config = base_config()
        self.mounts: list[dict[str, Any]] = [
            {
                "type": "overlay",
                "source": "overlay",
                "target": "",
                "options": [
                    f"lowerdir={base}", f"upperdir={place}/upper", f"workdir={place}/work",
                ],
            }
        ]  # fmt: skip

    def run(self, script: str = "", *, program: str = "", **more: Any) -> dict[str, Any]:
        self.config["process"]["args"] = [program] if program else ["sh", "-c", script]
        job = {
            "config": self.config, "bundle": str(self.place), "rootfs": str(self.place / "merged"),
            "mounts": self.mounts, **more,
        }  # fmt: skip
        done = subprocess.run(
            ["/usr/bin/python3", "-IS", "-c", DRIVER, str(SOURCE)],
            input=json.dumps(job), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        assert answer["children"] is None
        return answer


@pytest.fixture
def job(base: Path, tmp_path: Path) -> Job:
    if "OCI_RUNTIME" in os.environ:
        pytest.skip("concerns our own library")
    return Job(base, tmp_path / "job")


def test_overlay_is_the_root(job: Job) -> None:
    answer = job.run("echo new > /file; cat /file; exit 4")
    assert (answer["out"], answer["code"]) == ("new\n", 4)
    assert (job.place / "upper/file").read_text() == "new\n"
    assert list((job.place / "merged").iterdir()) == []


def test_many_layers_with_long_names(job: Job, tmp_path: Path) -> None:
    names = [tmp_path / "layers" / f"{'x' * 60}{i}" / "fs" for i in range(50)]
    for number, name in enumerate(names):
        name.mkdir(parents=True)
        (name / f"file{number}").touch()
    options = job.mounts[0]["options"]
    base = options[0].removeprefix("lowerdir=")
    options[0] = "lowerdir=" + ":".join([*map(str, names), base])
    # with absolute names it would be more than one page
    assert len(options[0]) > 4096
    short = job.run("ls / | grep -c ^file")
    assert short["out"] == "50\n", short


def test_bind_and_tmpfs_inside_the_root(job: Job) -> None:
    job.mounts.append({"type": "tmpfs", "source": "tmpfs", "target": "/scratch", "options": []})
    job.mounts.append(
        {"type": "bind", "source": str(job.place), "target": "/seen", "options": ["rbind", "ro"]}
    )
    answer = job.run("stat -f -c %T /scratch; ls /seen; touch /seen/x 2>&1")
    assert answer["out"].startswith("tmpfs\nmerged\nupper\nwork\n")
    assert "Read-only" in answer["out"]


def test_mounts_of_the_caller_are_not_seen(job: Job) -> None:
    job.config["mounts"].append(
        {"destination": "/host-mnt", "type": "bind", "source": "/mnt", "options": ["bind"]}
    )
    assert "tmpfs" not in job.run("stat -f -c %T /host-mnt")["out"]


def test_steps_are_timed(job: Job) -> None:
    assert {"namespaces", "mounts", "pivot", "identity"} <= set(job.run("true")["steps"])


def test_user_namespace_on_an_overlay(job: Job) -> None:
    maps = [{"containerID": 0, "hostID": 0, "size": 65536}]
    job.config["linux"]["namespaces"].append({"type": "user"})
    job.config["linux"].update(uidMappings=maps, gidMappings=maps)
    answer = job.run("id -u; touch /made; ls /made")
    assert answer["out"] == "0\n/made\n", answer


def test_exec(job: Job) -> None:
    process = {"args": ["sh", "-c", "exit 9"], "cwd": "/", "env": ["PATH=/usr/bin"]}
    answer = job.run("sleep 60", exec=process)
    assert (answer["exec"], answer["code"]) == (9, 137)


def test_abort_leaves_no_process(job: Job) -> None:
    assert "code" not in job.run("sleep 60", abort=True)


def test_error_names_step_path_and_number(job: Job) -> None:
    job.config["mounts"].append(
        {"destination": "/x", "type": "bind", "source": "/does/not/exist", "options": ["bind"]}
    )
    error = job.run("true")["error"]
    assert error["code"] == "not_found"
    assert error["step"] == 'mounting "/does/not/exist" to rootfs at "/x"'
    assert error["path"] == "/does/not/exist"
    assert error["errno"] == 2


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("missing", "program_not_found"),
        ("/usr/bin/nointerpreter", "program_not_found"),
        ("/usr/bin/plain", "program_not_executable"),
        ("/usr/bin/garbage", "program_not_executable"),
    ],
)
def test_errors_of_the_program(job: Job, program: str, code: str) -> None:
    assert job.run(program=program)["error"]["code"] == code
