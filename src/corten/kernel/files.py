"""Files: resolution that can't leave a root, file system magic, device nodes, safe writes."""

from __future__ import annotations

import posix
from _struct import pack, unpack_from
from errno import EAGAIN, EINVAL, EXDEV

from corten.kernel._call import buffer, call, cstr, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.kernel._call import Path

AT_FDCWD = -100

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
RESOLVE_CACHED = 0x20

IN_MODIFY = 0x2
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
_OPENAT2_TRIES = 128

# <linux/magic.h>
PROC_SUPER_MAGIC = 0x9FA0
SYSFS_MAGIC = 0x62656572
CGROUP_SUPER_MAGIC = 0x27E0EB
CGROUP2_SUPER_MAGIC = 0x63677270
TMPFS_MAGIC = 0x01021994
OVERLAYFS_SUPER_MAGIC = 0x794C7630
DEVPTS_SUPER_MAGIC = 0x1CD1
NSFS_MAGIC = 0x6E736673
EROFS_SUPER_MAGIC = 0xE0F5E1E2


def openat2(
    dirfd: int, path: Path, flags: int, *, resolve: int = RESOLVE_IN_ROOT, mode: int = 0
) -> int:
    """Open ``path`` below ``dirfd``, resolved as ``resolve`` says; always close-on-exec.

    With ``RESOLVE_IN_ROOT`` absolute paths, absolute links and ``..`` stay below ``dirfd``,
    which is how everything inside a root file system must be opened.
    The kernel answers EAGAIN while a rename races with ``..``; this tries again.
    """
    how = pack("3Q", flags | posix.O_CLOEXEC, mode, resolve)
    raw = cstr(path)
    for attempt in range(_OPENAT2_TRIES):
        try:
            return call("openat2", path, dirfd, raw, how, len(how))
        except OSError as error:
            if error.errno != EAGAIN or attempt == _OPENAT2_TRIES - 1:
                raise
    raise failure("openat2", path, EAGAIN)


def mknodat(dirfd: int, path: Path, mode: int, device: int = 0) -> None:
    """Make a device node, FIFO, socket or plain file; the umask applies to ``mode``."""
    call("mknodat", path, dirfd, cstr(path), mode, device)


def inotify(path: Path, mask: int) -> int:
    """A non-blocking inotify descriptor that watches one file."""
    fd = call("inotify_init1", path, posix.O_CLOEXEC | posix.O_NONBLOCK)
    try:
        call("inotify_add_watch", path, fd, cstr(path), mask)
    except BaseException:
        posix.close(fd)
        raise
    return fd


def statfs_type(path: Path | int) -> int:
    """The magic number of the file system that ``path`` (or a descriptor) lies on."""
    out = buffer(256)
    if isinstance(path, int):
        call("fstatfs", None, path, out)
    else:
        call("statfs", path, cstr(path), out)
    magic: int = unpack_from("l", out)[0]
    return magic & 0xFFFFFFFF


def syncfs(fd: int) -> None:
    """Write everything of the file system that ``fd`` lies on to its disk."""
    call("syncfs", None, fd)


def open_verified(path: Path, flags: int, magic: int, *, dirfd: int = AT_FDCWD) -> int:
    """Open a file that must lie on the file system ``magic``, without following a last link.

    Raises:
        OSError: EXDEV where another file system was put in its place.
    """
    fd = posix.open(path, flags | posix.O_CLOEXEC | posix.O_NOFOLLOW, dir_fd=_dirfd(dirfd))
    try:
        if statfs_type(fd) != magic:
            raise OSError(EXDEV, "file is not on the expected kernel file system", path)
    except BaseException:
        posix.close(fd)
        raise
    return fd


def write_verified(path: Path, data: bytes, magic: int, *, dirfd: int = AT_FDCWD) -> None:
    """Write ``data`` in one ``write(2)`` to a file of procfs, sysfs or cgroupfs.

    Raises:
        OSError: EXDEV as :func:`open_verified`; EINVAL where the kernel took only a part.
    """
    fd = open_verified(path, posix.O_WRONLY, magic, dirfd=dirfd)
    try:
        if posix.write(fd, data) != len(data):
            raise OSError(EINVAL, "short write", path)
    except OSError as error:
        if error.filename is None:
            error.filename = path
        raise
    finally:
        posix.close(fd)


def write_proc(path: Path, data: bytes, *, dirfd: int = AT_FDCWD) -> None:
    """:func:`write_verified` for procfs (``/proc/self/attr/exec``, sysctls, id maps)."""
    write_verified(path, data, PROC_SUPER_MAGIC, dirfd=dirfd)


def _dirfd(dirfd: int) -> int | None:
    return None if dirfd == AT_FDCWD else dirfd
