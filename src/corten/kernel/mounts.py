"""Mounting: ``mount(2)`` and the descriptor based calls of Linux 5.2 to 5.12."""

from __future__ import annotations

from _struct import pack

from corten.kernel._call import call, cstr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.kernel._call import Path

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_NO_AUTOMOUNT = 0x800
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

# <linux/mount.h>
MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_SYNCHRONOUS = 0x10
MS_REMOUNT = 0x20
MS_MANDLOCK = 0x40
MS_DIRSYNC = 0x80
MS_NOSYMFOLLOW = 0x100
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_SILENT = 0x8000
MS_POSIXACL = 0x10000
MS_UNBINDABLE = 0x20000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MS_RELATIME = 0x200000
MS_I_VERSION = 0x800000
MS_STRICTATIME = 0x1000000
MS_LAZYTIME = 0x2000000

MNT_FORCE = 1
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = 0o2000000

MOVE_MOUNT_F_SYMLINKS = 0x1
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_SYMLINKS = 0x10
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOVE_MOUNT_SET_GROUP = 0x100
MOVE_MOUNT_BENEATH = 0x200

FSOPEN_CLOEXEC = 1
FSPICK_CLOEXEC = 1
FSPICK_SYMLINK_NOFOLLOW = 2
FSPICK_EMPTY_PATH = 8
FSMOUNT_CLOEXEC = 1

FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_SET_BINARY = 2
FSCONFIG_SET_PATH = 3
FSCONFIG_SET_PATH_EMPTY = 4
FSCONFIG_SET_FD = 5
FSCONFIG_CMD_CREATE = 6
FSCONFIG_CMD_RECONFIGURE = 7

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR__ATIME = 0x70
MOUNT_ATTR_RELATIME = 0x0
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000


def mount(source: Path, target: Path, fstype: str, flags: int = 0, data: str = "") -> None:
    """mount(2). ``data`` are the file system's own options, at most 4095 bytes."""
    raw = cstr(data) if data else None
    call("mount", target, cstr(source), cstr(target), cstr(fstype) if fstype else None, flags, raw)


def umount2(target: Path, flags: int = 0) -> None:
    """Unmount; ``MNT_DETACH`` takes the tree out of sight at once."""
    call("umount2", target, cstr(target), flags)


def pivot_root(new_root: Path, put_old: Path) -> None:
    """Make ``new_root`` the root mount and stack the old one on ``put_old`` (``"."``, ``"."``)."""
    call("pivot_root", new_root, cstr(new_root), cstr(put_old))


def open_tree(dirfd: int, path: Path, flags: int = OPEN_TREE_CLOEXEC) -> int:
    """A descriptor of a mount, or with ``OPEN_TREE_CLONE`` of a detached copy of it."""
    return call("open_tree", path, dirfd, cstr(path), flags)


def move_mount(
    from_fd: int,
    from_path: Path,
    to_fd: int,
    to_path: Path,
    flags: int = MOVE_MOUNT_F_EMPTY_PATH,
) -> None:
    """Attach a detached mount, or move one."""
    call("move_mount", to_path, from_fd, cstr(from_path), to_fd, cstr(to_path), flags)


def mount_setattr(
    dirfd: int,
    path: Path,
    flags: int = 0,
    *,
    attr_set: int = 0,
    attr_clr: int = 0,
    propagation: int = 0,
    userns_fd: int = -1,
) -> None:
    """Change a mount's attributes, with ``AT_RECURSIVE`` of the whole tree (Linux 5.12).

    Arguments:
        attr_set, attr_clr: ``MOUNT_ATTR_*``; clear ``MOUNT_ATTR__ATIME`` to set another atime.
        propagation: ``MS_PRIVATE``, ``MS_SLAVE``, ``MS_SHARED``, ``MS_UNBINDABLE`` or 0.
        userns_fd: with ``MOUNT_ATTR_IDMAP``, the user namespace whose mapping applies.
    """
    attr = pack("4Q", attr_set, attr_clr, propagation, max(userns_fd, 0))
    call("mount_setattr", path, dirfd, cstr(path), flags, attr, len(attr))


def fsopen(fstype: str, flags: int = FSOPEN_CLOEXEC) -> int:
    """A configuration context for a new file system instance."""
    return call("fsopen", fstype, cstr(fstype), flags)


def fspick(dirfd: int, path: Path, flags: int = FSPICK_CLOEXEC) -> int:
    """A configuration context for the instance mounted at ``path``."""
    return call("fspick", path, dirfd, cstr(path), flags)


def fsconfig(fd: int, command: int, key: str = "", value: Path | None = None, aux: int = 0) -> None:
    """Give a context one option, or the command to create or reconfigure the instance."""
    raw = None if value is None else cstr(value)
    call("fsconfig", key or value, fd, command, cstr(key) if key else None, raw, aux)


def fsmount(fs_fd: int, attr_flags: int = 0, flags: int = FSMOUNT_CLOEXEC) -> int:
    """A detached mount of a created context."""
    return call("fsmount", None, fs_fd, flags, attr_flags)
