"""Where a container's files are: its root directory as a descriptor, in every state of it.

A container that runs is entered through ``/proc/PID/root``, whose mounts the kernel follows. One
that does not is put together here, in a mount namespace of this program alone, as it would be
for a start. Afterwards the program's own root is an empty file system.
"""

from __future__ import annotations

import os
from errno import ENOENT, ENOTDIR, ESRCH

from corten.errors import FailedPrecondition, NotFound
from corten.images.unpack import confine
from corten.kernel import files, mounts, namespaces
from corten.spec import mount as mount_spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.spec.mount import Mount

_PATH = os.O_PATH | os.O_CLOEXEC
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_SAFE = mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC
_STEP = "open the container's files"


class Place:
    """The root directory of what is read or written.

    Fields:
        root: descriptor.
        proc: descriptor of our own ``/proc/self/fd``: the one way from a descriptor that was
            looked at to one that reads, without asking a name a second time.
    """

    def __init__(self, root: int, proc: int) -> None:
        self.root = root
        self.proc = proc


def enter(where: dict[str, Any], scratch: str) -> Place:
    """Open the root and leave everything else behind.

    Arguments:
        where: ``{"kind": "process", "pid", "id"}``; ``{"kind": "mounts", "mounts", "binds",
            "write"}``; ``{"kind": "directory", "path"}``; or ``{"kind": "none"}``.
        scratch: an existing directory; it is covered in our own name space only.
    """
    proc = os.open("/proc/self/fd", _DIRECTORY)
    root = -1
    if where["kind"] == "process":
        root = _of_process(int(where["pid"]), str(where["id"]))
    elif where["kind"] == "directory":
        root = os.open(where["path"], _DIRECTORY | os.O_NOFOLLOW)
    namespaces.unshare(confine.PRIVATE)
    mounts.mount("", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
    mounts.mount("tmpfs", scratch, "tmpfs", _SAFE, "mode=700,size=16m")
    if where["kind"] == "mounts":
        _assemble(where, scratch)
    elif where["kind"] == "none":
        os.mkdir(f"{scratch}/root")
    os.chdir(scratch)
    mounts.pivot_root(".", ".")
    mounts.umount2(".", mounts.MNT_DETACH)
    os.chdir("/")
    if root < 0:
        root = os.open("/root", _DIRECTORY | os.O_NOFOLLOW)
    return Place(root, proc)


def _of_process(pid: int, container_id: str) -> int:
    """The root of a container's process. The number may be somebody else's by now: the cgroup,
    read through the same directory, tells."""
    try:
        process = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            groups = _read(process, "cgroup")
            if container_id.encode() not in groups:
                raise FailedPrecondition("the container has just ended", step=_STEP)
            return os.open("root", _DIRECTORY, dir_fd=process)
        finally:
            os.close(process)
    except OSError as error:
        if error.errno in (ENOENT, ESRCH):
            raise FailedPrecondition("the container has just ended", step=_STEP) from None
        raise


def _read(directory: int, name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return os.read(fd, 1 << 16)
    finally:
        os.close(fd)


# a container that does not run ---------------------------------------------------------------


def _assemble(where: dict[str, Any], scratch: str) -> None:
    root_path = f"{scratch}/root"
    os.mkdir(root_path)
    for item in where["mounts"]:
        _mount_root(mount_spec.from_dict(item), root_path, scratch, write=bool(where["write"]))
    root = os.open(root_path, _DIRECTORY)
    try:
        for bind in where["binds"]:
            _bind(root, bind)
    finally:
        os.close(root)


def _mount_root(mount: Mount, target: str, scratch: str, *, write: bool) -> None:
    if mount.type != "overlay":
        mounts.mount(mount.source, target, "", mounts.MS_BIND)
        return
    options = dict(option.partition("=")[::2] for option in mount.options)
    lower, upper, work = options["lowerdir"], options["upperdir"], options["workdir"]
    if not write:
        # The container's own layer is a lower one, so that a start meanwhile finds it unused;
        # what the mounts need as mount points is made in memory.
        lower = f"{upper}:{lower}"
        upper, work = f"{scratch}/upper", f"{scratch}/work"
        os.mkdir(upper)
        os.mkdir(work)
    base = os.path.commonpath([*lower.split(":"), *([upper, work] if write else [])])
    os.chdir(base)  # names are short: the options must fit into a page
    short = ":".join([os.path.relpath(path, base) for path in lower.split(":")])
    if write:
        upper, work = os.path.relpath(upper, base), os.path.relpath(work, base)
    data = f"lowerdir={short},upperdir={upper},workdir={work}"
    mounts.mount("overlay", target, "overlay", mounts.MS_NOSUID | mounts.MS_NODEV, data)


def _bind(root: int, bind: dict[str, Any]) -> None:
    """A volume or a directory of the host's, where the container would have it. One whose source
    is gone is left out: what lies below it does not exist."""
    try:
        tree = _tree(bind["source"], bind["subpath"])
    except OSError as error:
        if error.errno in (ENOENT, ENOTDIR):
            return
        raise
    try:
        is_directory = os.fstat(tree).st_mode & 0o170000 == 0o040000
        target = mount_point(root, os.fsencode(bind["target"]), directory=is_directory)
        try:
            if bind["read_only"]:
                mounts.mount_setattr(
                    tree,
                    "",
                    mounts.AT_EMPTY_PATH | mounts.AT_RECURSIVE,
                    attr_set=mounts.MOUNT_ATTR_RDONLY,
                )
            both = mounts.MOVE_MOUNT_F_EMPTY_PATH | mounts.MOVE_MOUNT_T_EMPTY_PATH
            mounts.move_mount(tree, "", target, "", both)
        finally:
            os.close(target)
    finally:
        os.close(tree)


def _tree(source: str, subpath: str) -> int:
    """A detached copy of what is mounted."""
    flags = mounts.OPEN_TREE_CLONE | mounts.OPEN_TREE_CLOEXEC | mounts.AT_RECURSIVE
    if not subpath:
        return mounts.open_tree(mounts.AT_FDCWD, source, flags)
    top = os.open(source, _DIRECTORY)
    try:
        below = files.openat2(top, subpath, _PATH)
    finally:
        os.close(top)
    try:
        return mounts.open_tree(below, "", flags | mounts.AT_EMPTY_PATH)
    finally:
        os.close(below)


def mount_point(root: int, path: bytes, *, directory: bool) -> int:
    """A descriptor of ``path`` below ``root``, made where it is missing."""
    try:
        return files.openat2(root, path, _PATH)
    except OSError as error:
        if error.errno != ENOENT:
            raise
    parts = [part for part in path.split(b"/") if part not in (b"", b".", b"..")]
    if not parts:
        raise NotFound("a mount has no target", step=_STEP)
    made = b""
    for part in parts[:-1] if not directory else parts:
        parent = files.openat2(root, made or b".", _DIRECTORY)
        try:
            os.mkdir(part, 0o755, dir_fd=parent)
        except FileExistsError:
            pass
        finally:
            os.close(parent)
        made = made + b"/" + part
    if not directory:
        parent = files.openat2(root, made or b".", _DIRECTORY)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(parts[-1], flags, 0o755, dir_fd=parent))
        finally:
            os.close(parent)
    return files.openat2(root, path, _PATH)
