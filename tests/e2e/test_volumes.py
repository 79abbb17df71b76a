"""Volumes of a real daemon: what lies on the disk, what hostile images and containers try."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.e2e.transcript import serve
from tests.harness import Daemon
from tests.support import eventually

BUSYBOX = "/bin/busybox"


@pytest.fixture(autouse=True)
def image(daemon: Daemon) -> Iterator[None]:
    if not Path(BUSYBOX).exists():
        pytest.skip("needs busybox-static")
    daemon.corten("image", "from-host", "--tag", "box", BUSYBOX)
    yield
    names = daemon.corten("ps", "-aq").stdout.split()
    if names:
        daemon.corten("rm", "-fv", *names)
    left = daemon.corten("volume", "ls", "-q").stdout.split()
    if left:
        daemon.corten("volume", "rm", *left)
    assert list((daemon.root / "volumes/docker").iterdir()) == []


def shell(daemon: Daemon, text: str, *options: str, image: str = "box") -> str:
    done = daemon.corten("run", "--rm", *options, image, BUSYBOX, "sh", "-c", text)
    return done.stdout


def path(daemon: Daemon, name: str) -> Path:
    return Path(daemon.corten("volume", "inspect", "-f", "{{.Mountpoint}}", name).stdout.strip())


# --- the life of a volume --------------------------------------------------------------


def test_files_stay_where_they_are_said_to_lie(daemon: Daemon) -> None:
    shell(daemon, "echo kept > /d/file", "-v", "data:/d")
    assert (path(daemon, "data") / "file").read_text() == "kept\n"
    assert shell(daemon, "cat /d/file", "-v", "data:/d") == "kept\n"


def test_a_volume_survives_the_daemon(daemon: Daemon) -> None:
    daemon.corten(
        "run", "-d", "--name", "one", "-v", "data:/d", "box",
        BUSYBOX, "sh", "-c", "echo kept > /d/file; sleep 100",
    )  # fmt: skip
    daemon.kill()
    daemon.start()
    assert daemon.corten("exec", "one", BUSYBOX, "cat", "/d/file").stdout == "kept\n"
    used = daemon.corten("volume", "rm", "data", check=False)
    assert used.returncode == 1 and "volume is in use" in used.stderr
    daemon.corten("rm", "-f", "one")
    assert (path(daemon, "data") / "file").exists()


def test_rm_takes_the_anonymous_ones(daemon: Daemon) -> None:
    daemon.corten("run", "--rm", "-v", "/anon", "-v", "named:/d", "box", BUSYBOX, "true")
    assert daemon.corten("volume", "ls", "-q").stdout == "named\n"


def test_events(daemon: Daemon) -> None:
    daemon.corten("volume", "create", "told")
    shell(daemon, "true", "-v", "told:/d:ro")
    daemon.corten("volume", "rm", "told")
    lines = daemon.corten(
        "events", "--since", "30s", "--until", "0s", "-f", "volume=told", "--format",
        "{{.Action}} {{index .Actor.Attributes \"read/write\"}}",
    ).stdout.split("\n")  # fmt: skip
    words = [line.split()[0] for line in lines if line]
    assert words == ["create", "mount", "unmount", "destroy"]
    assert lines[1] == "mount false"


def test_prune_takes_what_nobody_uses(daemon: Daemon) -> None:
    daemon.corten("volume", "create", "named")
    daemon.corten("create", "--name", "one", "-v", "/anon", "-v", "used:/u", "box", BUSYBOX)
    made = daemon.corten("volume", "create").stdout.strip()
    (path(daemon, made) / "file").write_bytes(b"x" * 2000)
    assert daemon.corten("volume", "prune", "--dry-run").stdout == f"{made}\n"
    assert daemon.corten("volume", "prune", check=False).returncode == 1  # nobody agreed
    done = daemon.corten("volume", "prune", "-f").stdout
    assert done == f"Deleted Volumes:\n{made}\n\nTotal reclaimed space: 2kB\n"
    assert "named" in daemon.corten("volume", "prune", "-af").stdout
    assert len(daemon.corten("volume", "ls", "-q").stdout.split()) == 2


def test_tenants_do_not_see_each_other(daemon: Daemon) -> None:
    daemon.corten("volume", "create", "mine")
    assert daemon.corten("--tenant", "k8s", "volume", "ls", "-q").stdout == ""
    absent = daemon.corten("--tenant", "k8s", "volume", "rm", "mine", check=False)
    assert "no such volume" in absent.stderr


def test_two_who_make_the_same_volume_at_once(daemon: Daemon) -> None:
    """One fills it; both find it whole."""
    found = []

    def run() -> None:
        found.append(shell(daemon, "ls /bin", "-v", "both:/bin"))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["busybox\n"] * 4


# --- mount options ---------------------------------------------------------------------


def test_a_part_of_a_volume(daemon: Daemon) -> None:
    shell(daemon, "mkdir -p /d/a/b; echo deep > /d/a/b/file", "-v", "data:/d")
    mount = "src=data,dst=/part,volume-subpath=a/b"
    assert shell(daemon, "ls /part", "--mount", mount) == "file\n"
    absent = daemon.corten(
        "run", "--rm", "--mount", "src=data,dst=/p,volume-subpath=no", "box", BUSYBOX, "true",
        check=False,
    )  # fmt: skip
    assert absent.returncode and "No such file or directory" in absent.stderr


@pytest.mark.parametrize("link", ["/etc", "../../../../../../../../etc", "/proc/1/root/etc"])
def test_a_part_of_a_volume_cant_lead_out(daemon: Daemon, link: str) -> None:
    """The one who owns the files puts a link in the way (CVE-2017-1002101, CVE-2021-30465)."""
    shell(daemon, f"mkdir -p /d/etc; ln -s {link} /d/link", "-v", "data:/d")
    done = daemon.corten(
        "run", "--rm", "--mount", "src=data,dst=/part,volume-subpath=link", "box",
        BUSYBOX, "ls", "/part", check=False,
    )  # fmt: skip
    assert "passwd" not in done.stdout


def test_recursive_read_only(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path / "sub"], check=True)
    try:
        mount = f"type=bind,src={tmp_path},dst=/d,readonly"
        assert shell(daemon, "touch /d/sub/a && echo yes", "--mount", mount) == "yes\n"
        done = daemon.corten(
            "run", "--rm", "--mount", f"{mount},bind-recursive=readonly", "box",
            BUSYBOX, "touch", "/d/sub/b", check=False,
        )  # fmt: skip
        assert "Read-only file system" in done.stderr
        mount = f"{mount},bind-recursive=disabled"
        assert shell(daemon, "ls /d/sub", "--mount", mount) == ""
    finally:
        subprocess.run(["umount", tmp_path / "sub"], check=True)


def test_what_the_host_mounts_later_is_seen_where_that_was_asked_for(
    daemon: Daemon, tmp_path: Path
) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], check=True)
    subprocess.run(["mount", "--make-shared", tmp_path], check=True)
    late = tmp_path / "late"
    late.mkdir()
    try:
        for name, mode in (("slave", "rslave"), ("private", "rprivate")):
            daemon.corten(
                "run", "-d", "--name", name, "-v", f"{tmp_path}:/d:{mode}", "box",
                BUSYBOX, "sleep", "100",
            )  # fmt: skip
        subprocess.run(["mount", "-t", "tmpfs", "none", late], check=True)
        (late / "file").touch()
        assert daemon.corten("exec", "slave", BUSYBOX, "ls", "/d/late").stdout == "file\n"
        assert daemon.corten("exec", "private", BUSYBOX, "ls", "/d/late").stdout == ""
        daemon.corten("rm", "-f", "slave", "private")
    finally:
        subprocess.run(["umount", late], check=False)
        subprocess.run(["umount", tmp_path], check=True)


def test_what_a_container_mounts_is_seen_where_that_was_asked_for(
    daemon: Daemon, tmp_path: Path
) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], check=True)
    subprocess.run(["mount", "--make-shared", tmp_path], check=True)
    (tmp_path / "inner").mkdir()
    try:
        daemon.corten(
            "run", "-d", "--name", "sharer", "--privileged", "-v", f"{tmp_path}:/d:rshared", "box",
            BUSYBOX, "sh", "-c", "mount -t tmpfs none /d/inner; touch /d/inner/file; sleep 100",
        )  # fmt: skip
        eventually(lambda: (tmp_path / "inner/file").exists(), what="the container's mount")
        daemon.corten("rm", "-f", "sharer")
    finally:
        subprocess.run(["umount", tmp_path / "inner"], check=False)
        subprocess.run(["umount", tmp_path], check=True)


# --- hostile images --------------------------------------------------------------------


class _Registry:
    """One image made of a tar archive."""

    def __init__(self, archive: bytes, settings: dict[str, object]) -> None:
        blobs: dict[str, bytes] = {}
        layer = gzip.compress(archive, mtime=0)
        config = {
            "architecture": serve._ARCHITECTURES[os.uname().machine],
            "os": "linux",
            "config": settings,
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(archive).hexdigest()}"],
            },
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": serve._MANIFEST,
            "config": serve._descriptor(blobs, serve._CONFIG, json.dumps(config).encode()),
            "layers": [serve._descriptor(blobs, serve._LAYER, layer)],
        }
        entry = serve._descriptor(blobs, serve._MANIFEST, json.dumps(manifest).encode())

        class Handler(serve._Handler):
            names = {"hostile": str(entry["digest"])}

        Handler.blobs = blobs
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.name = f"127.0.0.1:{self.server.server_port}/hostile"
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self) -> str:
        self.thread.start()
        return self.name

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def _hostile() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:

        def add(name: str, kind: bytes, link: str = "", mode: int = 0o755, **more: int) -> None:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = kind, link, mode
            entry.devmajor, entry.devminor = more.get("major", 0), more.get("minor", 0)
            archive.addfile(entry)

        program = Path(BUSYBOX).read_bytes()
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(program), 0o4755
        archive.addfile(entry, io.BytesIO(program))
        add("out", tarfile.SYMTYPE, "/../../../../../../../../etc")
        add("up", tarfile.SYMTYPE, "../../../../../../../../../tmp")
        add("data", tarfile.DIRTYPE)
        add("data/shadow", tarfile.SYMTYPE, "/etc/shadow")
        add("data/disk", tarfile.BLKTYPE, mode=0o666, major=8)
        add("data/null", tarfile.CHRTYPE, mode=0o666, major=1, minor=3)
        add("data/root", tarfile.SYMTYPE, "/proc/1/root")
        add("data/program", tarfile.LNKTYPE, "bin/busybox", mode=0o4755)
    return buffer.getvalue()


def test_an_image_whose_places_are_links_out_of_it(daemon: Daemon) -> None:
    """What is copied and where it is mounted is always below the image's root."""
    settings: dict[str, object] = {"Volumes": {"/data": {}, "/out": {}, "/up/x": {}}}
    before = sorted(os.listdir("/etc")), sorted(os.listdir("/tmp"))
    with _Registry(_hostile(), settings) as name:
        daemon.corten("pull", "-q", name)
        listed = shell(daemon, "ls /out /etc; ls /data", image=name)
        assert "passwd" not in listed and "shadow" in listed
        daemon.corten("create", "--name", "one", "-v", "kept:/data", name, BUSYBOX, "true")
        kept = path(daemon, "kept")
        assert os.readlink(kept / "shadow") == "/etc/shadow"
        assert os.readlink(kept / "root") == "/proc/1/root"
        assert (kept / "disk").lstat().st_rdev == os.makedev(8, 0)
        assert (kept / "program").stat().st_mode & 0o7777 == 0o4755
        daemon.corten("rm", "-v", "one")
        daemon.corten("rmi", name)
    assert sorted(os.listdir("/etc")) == before[0]
    assert "x" not in set(os.listdir("/tmp")) - set(before[1])


def test_a_volume_over_a_file_is_refused_and_leaves_nothing(daemon: Daemon) -> None:
    done = daemon.corten("run", "--rm", "-v", "data:/bin/busybox", "box", "true", check=False)
    assert done.returncode == 125 and "file exists /bin/busybox" in done.stderr
    assert daemon.corten("volume", "ls", "-q").stdout == ""
    assert daemon.corten("ps", "-aq").stdout == ""
