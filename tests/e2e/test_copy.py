"""``docker cp``, ``diff``, ``export``, ``commit`` against a real daemon, by docker's own client."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Daemon
from tests.support import eventually

TOOLS = ("sh", "cat", "chmod", "id", "ln", "ls", "mkdir", "mv", "rm", "sleep", "stat", "touch")
MAKE = (
    "mkdir -p /data/sub; echo hi >/data/f; ln -s f /data/l; ln -s /data/sub /data/dl;"
    "echo x >/data/sub/x; echo ready; while :; do sleep 1; done"
)


@pytest.fixture(scope="module")
def box(daemon: Daemon) -> str:
    daemon.corten("image", "from-host", "-t", "box", *TOOLS)
    return "box"


@pytest.fixture(params=["running", "stopped"])
def filled(daemon: Daemon, box: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A container with some files, in both states."""
    name = daemon.docker("run", "-d", box, "sh", "-c", MAKE).stdout.strip()
    _ready(daemon, name)
    if request.param == "stopped":
        daemon.docker("kill", name)
    yield name
    daemon.docker("rm", "-f", name)


def _ready(daemon: Daemon, name: str) -> None:
    eventually(lambda: "ready" in daemon.docker("logs", name).stdout, what="the container's word")


def _content(daemon: Daemon, name: str, path: str, to: Path) -> str:
    daemon.docker("cp", f"{name}:{path}", str(to))
    return to.read_text()


# out -----------------------------------------------------------------------------------------


def test_a_tree_out(daemon: Daemon, filled: str, tmp_path: Path) -> None:
    daemon.docker("cp", f"{filled}:/data", str(tmp_path / "copy"))
    found = {str(p.relative_to(tmp_path / "copy")) for p in (tmp_path / "copy").rglob("*")}
    assert found == {"f", "l", "dl", "sub", "sub/x"}
    assert os.readlink(tmp_path / "copy/dl") == "/data/sub"
    assert (tmp_path / "copy/f").read_text() == "hi\n"


def test_contents_and_links_out(daemon: Daemon, filled: str, tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    daemon.docker("cp", f"{filled}:/data/.", str(tmp_path / "into"))
    assert (tmp_path / "into/sub/x").read_text() == "x\n"
    daemon.docker("cp", f"{filled}:/data/l", str(tmp_path / "link"))
    assert os.readlink(tmp_path / "link") == "f"
    daemon.docker("cp", "-L", f"{filled}:/data/l", str(tmp_path / "followed"))
    assert (tmp_path / "followed").read_text() == "hi\n"


def test_as_an_archive(daemon: Daemon, filled: str) -> None:
    env = {**os.environ, "DOCKER_HOST": daemon.docker_host}
    done = subprocess.run(
        ["docker", "cp", f"{filled}:/data", "-"], env=env, capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        assert archive.getnames() == [
            "data", "data/dl", "data/f", "data/l", "data/sub", "data/sub/x",
        ]  # fmt: skip
    subprocess.run(["docker", "cp", "-", f"{filled}:/tmp"], env=env, input=done.stdout, check=True)
    again = subprocess.run(
        ["docker", "cp", f"{filled}:/tmp/data/f", "-"], env=env, capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(again.stdout)) as archive:
        assert archive.getnames() == ["f"]


def test_what_is_not_there(daemon: Daemon, filled: str, tmp_path: Path) -> None:
    done = daemon.docker("cp", f"{filled}:/nosuch", str(tmp_path), check=False)
    assert done.returncode == 1
    assert "Could not find the file /nosuch" in done.stderr or "No such container:path" in (
        done.stderr
    )


# in ------------------------------------------------------------------------------------------


def test_in_and_out_again(daemon: Daemon, filled: str, tmp_path: Path) -> None:
    source = tmp_path / "new"
    source.write_text("new\n")
    source.chmod(0o640)
    daemon.docker("cp", str(source), f"{filled}:/data/n")
    assert _content(daemon, filled, "/data/n", tmp_path / "back") == "new\n"
    assert (tmp_path / "back").stat().st_mode & 0o777 == 0o640
    # Through a link to a directory, which is resolved inside.
    daemon.docker("cp", str(source), f"{filled}:/data/dl")
    assert _content(daemon, filled, "/data/sub/new", tmp_path / "back") == "new\n"
    done = daemon.docker("cp", str(source), f"{filled}:/no/such", check=False)
    assert done.returncode == 1


def test_kinds_are_kept(daemon: Daemon, filled: str, tmp_path: Path) -> None:
    (tmp_path / "sub").write_text("a file where a directory is\n")
    done = daemon.docker("cp", str(tmp_path / "sub"), f"{filled}:/data", check=False)
    assert done.returncode == 1
    assert "cannot overwrite directory" in done.stderr
    (tmp_path / "f").mkdir()
    done = daemon.docker("cp", str(tmp_path / "f"), f"{filled}:/data", check=False)
    assert "cannot overwrite non-directory" in done.stderr


def test_mounts_inside(daemon: Daemon, box: str, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "frozen").mkdir()
    name = daemon.docker(
        "create", "-v", f"{tmp_path}/shared:/mnt/rw", "-v", f"{tmp_path}/frozen:/mnt/ro:ro", box,
    ).stdout.strip()  # fmt: skip
    source = tmp_path / "one"
    source.write_text("1")
    daemon.docker("cp", str(source), f"{name}:/mnt/rw")
    assert (tmp_path / "shared/one").read_text() == "1"
    assert _content(daemon, name, "/mnt/rw/one", tmp_path / "back") == "1"
    done = daemon.docker("cp", str(source), f"{name}:/mnt/ro", check=False)
    assert "mounted volume is marked read-only" in done.stderr
    assert not (tmp_path / "frozen/one").exists()
    daemon.docker("rm", name)


def test_a_read_only_container(daemon: Daemon, box: str, tmp_path: Path) -> None:
    name = daemon.docker("create", "--read-only", box).stdout.strip()
    (tmp_path / "one").write_text("1")
    done = daemon.docker("cp", str(tmp_path / "one"), f"{name}:/", check=False)
    assert "container rootfs is marked read-only" in done.stderr
    daemon.docker("rm", name)


# hostile containers --------------------------------------------------------------------------


def test_links_lead_nowhere_outside(daemon: Daemon, box: str, tmp_path: Path) -> None:
    """A container whose paths point at the host's."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    name = daemon.docker(
        "run", "-d", box, "sh", "-c",
        f"ln -s {tmp_path} /abs; ln -s ../../../../../../../..{tmp_path} /rel;"
        "echo ready; while :; do sleep 1; done",
    ).stdout.strip()  # fmt: skip
    _ready(daemon, name)
    for state in ("running", "stopped"):
        for link in ("abs", "rel"):
            out = daemon.docker("cp", f"{name}:/{link}/secret", str(tmp_path / "o"), check=False)
            assert out.returncode == 1, (state, link)
            (tmp_path / "in").write_text("planted")
            daemon.docker("cp", str(tmp_path / "in"), f"{name}:/{link}/planted", check=False)
            assert not (tmp_path / "planted").exists()
        if state == "running":
            daemon.docker("kill", name)
    daemon.docker("rm", name)


def test_cve_2018_15664(daemon: Daemon, box: str, tmp_path: Path) -> None:
    """A container that exchanges a directory and a link to the host's place all the time."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "w00t").write_text("host")
    swap = (
        f"mkdir -p {victim} /stash; echo box >{victim}/w00t; echo ready; while :; do"
        f" mv {victim} /stash/d; ln -s / {victim}; rm {victim}; mv /stash/d {victim}; done"
    )
    name = daemon.docker("run", "-d", box, "sh", "-c", swap).stdout.strip()
    _ready(daemon, name)
    (tmp_path / "evil").write_text("evil")
    end = time.monotonic() + 6
    while time.monotonic() < end:
        daemon.docker("cp", f"{name}:{victim}/w00t", str(tmp_path / "out"), check=False)
        if (tmp_path / "out").exists():
            assert (tmp_path / "out").read_text() in ("box\n", "evil")
        daemon.docker("cp", str(tmp_path / "evil"), f"{name}:{victim}/w00t", check=False)
        assert (victim / "w00t").read_text() == "host"
    daemon.docker("rm", "-f", name)


def test_cve_2019_14271(daemon: Daemon, box: str, tmp_path: Path) -> None:
    """Libraries of the container are not loaded by whoever copies: nothing of it is executed."""
    name = daemon.docker("create", box).stdout.strip()
    for library in ("libnss_files.so.2", "libc.so.6", "libz.so.1"):
        (tmp_path / library).write_text("not ELF: loading it would fail")
        for place in ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"):
            daemon.docker("cp", str(tmp_path / library), f"{name}:{place}/", check=False)
    (tmp_path / "f").write_text("1")
    daemon.docker("cp", str(tmp_path / "f"), f"{name}:/f")
    assert _content(daemon, name, "/f", tmp_path / "back") == "1"
    daemon.docker("rm", name)


# changes -------------------------------------------------------------------------------------


def test_diff(daemon: Daemon, filled: str) -> None:
    shown = daemon.docker("diff", filled).stdout.splitlines()
    assert shown == ["A /data", "A /data/dl", "A /data/f", "A /data/l", "A /data/sub",
                     "A /data/sub/x"]  # fmt: skip


def test_diff_of_deletions(daemon: Daemon, box: str) -> None:
    name = daemon.docker(
        "run", "-d", box, "sh", "-c", "rm /etc/group; echo >>/etc/passwd; touch /tmp/a; rm /tmp/a"
    ).stdout.strip()
    daemon.docker("wait", name)
    shown = daemon.docker("diff", name).stdout.splitlines()
    assert shown == ["C /etc", "D /etc/group", "C /etc/passwd", "C /tmp"]
    daemon.docker("rm", name)


def test_commit_and_history(daemon: Daemon, filled: str) -> None:
    daemon.docker(
        "commit", "-m", "why", "-a", "who", "-c", 'CMD ["cat", "/data/f"]', "-c", "ENV A=b",
        filled, "made:1",
    )  # fmt: skip
    assert daemon.docker("run", "--rm", "made:1").stdout == "hi\n"
    found = daemon.docker("image", "inspect", "-f", "{{.Author}} {{.Comment}} {{.Config.Env}}",
                          "made:1").stdout  # fmt: skip
    assert found.startswith("who why [PATH=") and found.endswith(" A=b]\n")
    rows = daemon.docker("history", "--no-trunc", "--format", "{{.ID}} {{.Comment}}", "made:1")
    assert rows.stdout.splitlines()[0].startswith("sha256:") and "why" in rows.stdout
    done = daemon.docker("rmi", "made:1").stdout
    assert done.startswith("Untagged: made:1\nDeleted: sha256:")


def test_commit_of_deletions(daemon: Daemon, box: str) -> None:
    name = daemon.docker(
        "run", "-d", box, "sh", "-c", "rm /etc/group; rm -r /home; mkdir /home; touch /home/a"
    ).stdout.strip()
    daemon.docker("wait", name)
    daemon.docker("commit", name, "less")
    shown = daemon.docker("run", "--rm", "less", "ls", "/etc/group", "/home", check=False)
    assert "/etc/group" in shown.stderr and shown.stdout == "/home:\na\n"
    daemon.docker("rm", name)
    daemon.docker("rmi", "less")


def test_export_and_import(daemon: Daemon, filled: str, tmp_path: Path) -> None:
    daemon.docker("export", "-o", str(tmp_path / "x.tar"), filled)
    with tarfile.open(tmp_path / "x.tar") as archive:
        names = set(archive.getnames())
    assert {"data/f", "data/sub/x", "etc/passwd", "proc", "dev"} <= names
    assert not [name for name in names if name.startswith(("proc/", "dev/"))]
    daemon.docker("import", "-c", "CMD cat /data/f", str(tmp_path / "x.tar"), "flat:1")
    assert daemon.docker("run", "--rm", "flat:1").stdout == "hi\n"
    daemon.docker("rmi", "flat:1")
