"""Debian's dockerd, alone: mounts and processes of its own, no network, no rules."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.transcript import box
from tests.support import eventually

DOCKERD = "/usr/sbin/dockerd"
CLI = "/usr/bin/docker"
NAMES = {name: f"{name}image" for name in ("box", "entry", "volumes")}


@contextmanager
def running() -> Iterator[str]:
    """A dockerd with both images; gives its ``DOCKER_HOST``."""
    base = Path(tempfile.mkdtemp(prefix="corten-dockerd-", dir="/tmp"))
    host = f"unix://{base}/docker.sock"
    with (base / "log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", *_argv(base)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        eventually(lambda: _answers(host), deadline=60, what=f"dockerd; log: {base}/log")
        _import(host, "boximage:latest")
        _import(host, "entryimage:latest", *box.changes())
        _import(host, "volumesimage:latest", "--change", "VOLUME /data", data=True)
        yield host
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(base, ignore_errors=True)
        for group in Path("/sys/fs/cgroup").glob(f"*/{base.name}"):
            group.rmdir()


def _argv(base: Path) -> list[str]:
    (base / "daemon.json").write_text("{}")
    return [
        DOCKERD,
        f"--host=unix://{base}/docker.sock",
        f"--data-root={base}/data",
        f"--exec-root={base}/exec",
        f"--pidfile={base}/pid",
        f"--config-file={base}/daemon.json",
        f"--cgroup-parent={base.name}",
        "--storage-driver=overlay2",
        "--iptables=false",
        "--bridge=none",
    ]


def _answers(host: str) -> bool:
    return _docker(host, "version").returncode == 0


def _import(host: str, name: str, *options: str, data: bool = False) -> None:
    done = _docker(host, "import", *options, "-", name, stdin=box.root_file_system(data=data))
    assert done.returncode == 0, done.stderr


def _docker(host: str, *args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    env = {"PATH": os.environ["PATH"], "DOCKER_HOST": host, "DOCKER_CONFIG": "/nonexistent"}
    return subprocess.run([CLI, *args], env=env, input=stdin, capture_output=True, timeout=120)
