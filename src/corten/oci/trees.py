"""Detached copies of mounts: taken, changed, then attached at a descriptor.

``open_tree`` and ``move_mount`` exist since Linux 5.2, ``mount_setattr`` since 5.12; before,
and where a seccomp filter around us refuses it, attributes are set by a remount through the
descriptor after the attach, which for a moment leaves the mount as its source is.
"""

from __future__ import annotations

import posix
from errno import ENOSYS, EPERM

from corten.errors import Unimplemented
from corten.kernel import mounts as k
from corten.kernel.files import AT_FDCWD
from corten.oci.paths import fd_path

ST_NOSYMFOLLOW = 0x2000  # statvfs(3); `posix` has no name for it
_REMOUNT = (
    (k.MOUNT_ATTR_RDONLY, k.MS_RDONLY, posix.ST_RDONLY),
    (k.MOUNT_ATTR_NOSUID, k.MS_NOSUID, posix.ST_NOSUID),
    (k.MOUNT_ATTR_NODEV, k.MS_NODEV, posix.ST_NODEV),
    (k.MOUNT_ATTR_NOEXEC, k.MS_NOEXEC, posix.ST_NOEXEC),
    (k.MOUNT_ATTR_NODIRATIME, k.MS_NODIRATIME, posix.ST_NODIRATIME),
    (k.MOUNT_ATTR_NOSYMFOLLOW, k.MS_NOSYMFOLLOW, ST_NOSYMFOLLOW),
)
_ATIME = {
    k.MOUNT_ATTR_RELATIME: k.MS_RELATIME,
    k.MOUNT_ATTR_NOATIME: k.MS_NOATIME,
    k.MOUNT_ATTR_STRICTATIME: k.MS_STRICTATIME,
}


def clone(path: str, *, dirfd: int = AT_FDCWD, recursive: bool) -> int:
    """A detached copy of the mount at ``path``, with everything below if ``recursive``.

    An empty ``path`` means the file of ``dirfd`` itself.
    """
    flags = k.OPEN_TREE_CLONE | k.OPEN_TREE_CLOEXEC
    if recursive:
        flags |= k.AT_RECURSIVE
    if not path:
        flags |= k.AT_EMPTY_PATH
    return k.open_tree(dirfd, path, flags)


def attach(tree: int, target: int, name: str = "") -> None:
    """Mount a detached tree on the file or directory of ``target``, or on ``name`` in it."""
    flags = k.MOVE_MOUNT_F_EMPTY_PATH | (0 if name else k.MOVE_MOUNT_T_EMPTY_PATH)
    k.move_mount(tree, "", target, name, flags)


def set_propagation(tree: int, flags: tuple[int, ...]) -> None:
    """Apply ``MS_SHARED`` … (with ``MS_REC``) to an attached mount."""
    for flag in flags:
        k.mount("", fd_path(tree), "", flag)


def attach_with(tree: int, target: int, to_set: int, to_clear: int, name: str = "") -> None:
    """Attach a tree whose top mount gets attributes (``MOUNT_ATTR_*``) before it is seen."""
    if to_set or to_clear:
        try:
            k.mount_setattr(tree, "", k.AT_EMPTY_PATH, attr_set=to_set, attr_clr=to_clear)
        except OSError as error:
            if error.errno != ENOSYS:
                raise
            attach(tree, target, name)
            _remount(tree, to_set, to_clear)
            return
    attach(tree, target, name)


def set_recursively(tree: int, to_set: int, to_clear: int) -> None:
    """Attributes of a whole tree.

    Raises:
        Unimplemented: the kernel has no ``mount_setattr``.
    """
    flags = k.AT_EMPTY_PATH | k.AT_RECURSIVE
    try:
        k.mount_setattr(tree, "", flags, attr_set=to_set, attr_clr=to_clear)
    except OSError as error:
        if error.errno != ENOSYS:
            raise
        raise Unimplemented("recursive mount options need Linux 5.12", errno=error.errno) from None


def _remount(tree: int, to_set: int, to_clear: int) -> None:
    have = posix.statvfs(tree).f_flag
    flags = 0
    for attribute, flag, bit in _REMOUNT:
        if to_set & attribute or (have & bit and not to_clear & attribute):
            flags |= flag
    if to_clear & k.MOUNT_ATTR__ATIME:
        flags |= _ATIME[to_set & k.MOUNT_ATTR__ATIME]
    elif flags & k.MS_NODIRATIME:
        # the kernel keeps what the mount has only where no flag is about access times
        flags |= k.MS_NOATIME if have & posix.ST_NOATIME else 0
    try:
        k.mount("", fd_path(tree), "", k.MS_REMOUNT | k.MS_BIND | flags)
    except OSError as error:
        if error.errno != EPERM or not have & ~flags:
            raise
        # in a user namespace what the source had is locked
        locked = sum(flag for _, flag, bit in _REMOUNT if have & bit)
        k.mount("", fd_path(tree), "", k.MS_REMOUNT | k.MS_BIND | flags | locked)


def make_read_only(tree: int) -> None:
    """Make an attached mount read-only; its other attributes stay."""
    try:
        k.mount_setattr(tree, "", k.AT_EMPTY_PATH, attr_set=k.MOUNT_ATTR_RDONLY)
    except OSError as error:
        if error.errno != ENOSYS:
            raise
        _remount(tree, k.MOUNT_ATTR_RDONLY, 0)
