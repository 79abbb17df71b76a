"""Copying a tree that somebody hostile made."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from corten.oci.copyup import copy_tree


def copied(source: Path, target: Path) -> Path:
    target.mkdir(exist_ok=True)
    flags = os.O_RDONLY | os.O_DIRECTORY
    one, other = os.open(source, flags), os.open(target, flags)
    try:
        copy_tree(one, other)
    finally:
        os.close(one)
        os.close(other)
    return target


@pytest.fixture
def source(tmp_path: Path) -> Path:
    made = tmp_path / "source"
    made.mkdir()
    return made


def test_files_links_and_attributes(source: Path, tmp_path: Path) -> None:
    (source / "sub").mkdir(mode=0o711)
    (source / "sub/file").write_bytes(b"content")
    (source / "sub/file").chmod(0o4750)
    os.utime(source / "sub/file", ns=(1_000_000_007, 2_000_000_009))
    os.utime(source / "sub", ns=(3_000_000_000, 4_000_000_000))
    source.chmod(0o1777)
    made = copied(source, tmp_path / "target")
    assert (made / "sub/file").read_bytes() == b"content"
    info = (made / "sub/file").stat()
    assert stat.S_IMODE(info.st_mode) == 0o4750
    assert (info.st_atime_ns, info.st_mtime_ns)[1] == 2_000_000_009
    assert (made / "sub").stat().st_mtime_ns == 4_000_000_000
    assert stat.S_IMODE(made.stat().st_mode) == 0o1777


def test_a_link_out_of_the_tree_stays_a_link(source: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (source / "file").symlink_to("../../secret")
    (source / "directory").symlink_to(tmp_path)
    (source / "absolute").symlink_to("/etc")
    made = copied(source, tmp_path / "target")
    assert os.readlink(made / "file") == "../../secret"
    assert os.readlink(made / "directory") == str(tmp_path)
    assert os.readlink(made / "absolute") == "/etc"


def test_hard_links_are_one_file(source: Path, tmp_path: Path) -> None:
    (source / "a").write_text("x")
    (source / "sub").mkdir()
    os.link(source / "a", source / "sub/b")
    os.symlink("nowhere", source / "link")
    os.link(source / "link", source / "link2", follow_symlinks=False)
    made = copied(source, tmp_path / "target")
    assert (made / "a").stat().st_ino == (made / "sub/b").stat().st_ino
    assert (made / "link").lstat().st_ino == (made / "link2").lstat().st_ino


def test_holes_stay_holes(source: Path, tmp_path: Path) -> None:
    with (source / "sparse").open("wb") as file:
        file.write(b"begin")
        file.seek(64 << 20)
        file.write(b"middle")
        file.truncate(128 << 20)
    made = copied(source, tmp_path / "target") / "sparse"
    info = made.stat()
    assert info.st_size == 128 << 20
    assert info.st_blocks * 512 < 1 << 20
    with made.open("rb") as file:
        assert file.read(5) == b"begin"
        file.seek(64 << 20)
        assert file.read(7) == b"middle\0"


def test_pipes_and_sockets_are_made_anew(source: Path, tmp_path: Path) -> None:
    os.mkfifo(source / "pipe")
    (source / "pipe").chmod(0o622)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(source / "socket"))
    made = copied(source, tmp_path / "target")
    assert stat.S_ISFIFO((made / "pipe").stat().st_mode)
    assert stat.S_IMODE((made / "pipe").stat().st_mode) == 0o622
    assert stat.S_ISSOCK((made / "socket").stat().st_mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_devices_owners_and_capabilities(source: Path, tmp_path: Path) -> None:
    os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (source / "program").write_text("")
    os.chown(source / "program", 1234, 4321)
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    os.setxattr(source / "program", "security.capability", capability)
    made = copied(source, tmp_path / "target")
    assert (made / "null").stat().st_rdev == os.makedev(1, 3)
    info = (made / "program").stat()
    assert (info.st_uid, info.st_gid) == (1234, 4321)
    assert os.getxattr(made / "program", "security.capability") == capability


def test_a_deep_tree_needs_no_recursion(source: Path, tmp_path: Path) -> None:
    fd = os.open(source, os.O_RDONLY)
    for _ in range(400):
        os.mkdir("d", dir_fd=fd)
        deeper = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    made = copied(source, tmp_path / "target")
    path = made
    for _ in range(400):
        path = path / "d"
    assert (path / "bottom").exists()


def test_it_stops_at_an_error_and_leaves_nothing_open(source: Path, tmp_path: Path) -> None:
    (source / "a/b/c").mkdir(parents=True)
    (tmp_path / "target/a/b").mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileExistsError):
        copied(source, tmp_path / "target")
    assert len(os.listdir("/proc/self/fd")) == before
