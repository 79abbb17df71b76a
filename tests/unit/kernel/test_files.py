"""Resolution below a root, file system magic, mounts, terminals."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from corten.kernel import files, pty
from tests.unit.kernel.isolated import run

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_nothing_leaves_the_root(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("inside")
    (tmp_path / "absolute").symlink_to("/etc/passwd")
    (tmp_path / "upwards").symlink_to("../../../../../../etc/passwd")
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        for name in ("absolute", "upwards", "/etc/passwd", "../../etc/passwd"):
            fd = files.openat2(root, name, os.O_RDONLY)
            assert os.read(fd, 100) == b"inside"
            assert not os.get_inheritable(fd)
            os.close(fd)
        with pytest.raises(OSError, match="openat2") as caught:
            files.openat2(root, "absolute", os.O_RDONLY, resolve=files.RESOLVE_NO_SYMLINKS)
        assert caught.value.errno == errno.ELOOP
    finally:
        os.close(root)


def test_magic_numbers() -> None:
    assert files.statfs_type("/proc") == files.PROC_SUPER_MAGIC
    assert files.statfs_type("/sys") == files.SYSFS_MAGIC
    fd = os.open("/proc/self", os.O_RDONLY)
    assert files.statfs_type(fd) == files.PROC_SUPER_MAGIC
    os.close(fd)


def test_a_write_to_procfs_is_not_fooled(tmp_path: Path) -> None:
    fake = tmp_path / "comm"
    fake.write_text("old")
    with pytest.raises(OSError, match="not on the expected") as caught:
        files.write_proc(str(fake), b"new")
    assert caught.value.errno == errno.EXDEV
    assert fake.read_text() == "old"
    link = tmp_path / "link"
    link.symlink_to("/proc/self/comm")
    with pytest.raises(OSError, match="symbolic links"):
        files.write_proc(str(link), b"new")


def test_a_write_to_procfs_arrives() -> None:
    out = run(
        """
        from corten.kernel import files
        files.write_proc("/proc/self/comm", b"renamed")
        print(open("/proc/self/comm").read())
        """
    )
    assert out == "renamed"


def test_inotify_sees_a_change(tmp_path: Path) -> None:
    watched = tmp_path / "events"
    watched.write_text("")
    fd = files.inotify(str(watched), files.IN_MODIFY)
    try:
        with pytest.raises(BlockingIOError):
            os.read(fd, 4096)
        watched.write_text("oom_kill 1")
        assert os.read(fd, 4096)
    finally:
        os.close(fd)


def test_a_terminal_has_two_sides_and_a_size() -> None:
    master = pty.open_master()
    peer = pty.open_peer(master)
    try:
        pty.set_size(master, 33, 101)
        assert pty.get_size(peer) == (33, 101)
        assert os.ttyname(peer) == f"/dev/pts/{pty.number(master)}"
        os.write(peer, b"x")
        assert os.read(master, 10) == b"x"
        assert not os.get_inheritable(peer)
    finally:
        os.close(peer)
        os.close(master)


@needs_root
def test_detached_mounts(tmp_path: Path) -> None:
    out = run(
        f"""
        from corten.kernel import mounts as m, namespaces
        namespaces.unshare(namespaces.CLONE_NEWNS)
        m.mount("none", "/", "", m.MS_REC | m.MS_PRIVATE)
        fs = m.fsopen("tmpfs")
        m.fsconfig(fs, m.FSCONFIG_SET_STRING, "mode", "0700")
        m.fsconfig(fs, m.FSCONFIG_CMD_CREATE)
        tree = m.fsmount(fs, m.MOUNT_ATTR_NOEXEC)
        where = {str(tmp_path)!r}
        m.move_mount(tree, "", m.AT_FDCWD, where)
        copy = m.open_tree(m.AT_FDCWD, where, m.OPEN_TREE_CLONE | m.OPEN_TREE_CLOEXEC)
        m.mount_setattr(m.AT_FDCWD, where, attr_set=m.MOUNT_ATTR_RDONLY)
        options = [l.split()[5] for l in open("/proc/self/mountinfo") if l.split()[4] == where]
        print(options)
        m.umount2(where, m.MNT_DETACH)
        m.mount("tmpfs", where, "tmpfs", m.MS_NOSUID, "size=64k")
        print([l.split()[3] for l in open("/proc/mounts") if l.split()[1] == where])
        """
    )
    assert "ro,noexec" in out
    assert "size=64k" in out and "nosuid" in out


@needs_root
def test_device_nodes(tmp_path: Path) -> None:
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    files.mknodat(root, "null", 0o20666, os.makedev(1, 3))
    os.close(root)
    facts = (tmp_path / "null").stat()
    assert (os.major(facts.st_rdev), os.minor(facts.st_rdev)) == (1, 3)
