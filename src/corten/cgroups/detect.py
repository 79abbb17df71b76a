"""What kind of cgroup tree this host has, and where each controller's is mounted."""

from __future__ import annotations

import posix

from corten.errors import FailedPrecondition, InvalidArgument
from corten.kernel import paths
from corten.kernel.files import CGROUP2_SUPER_MAGIC, CGROUP_SUPER_MAGIC, TMPFS_MAGIC, statfs_type
from corten.spec._struct import Struct

ROOT = "/sys/fs/cgroup"


class Hierarchies(Struct):
    """Where cgroups live.

    Fields:
        kind: ``v1``, ``hybrid`` (v1 controllers beside an unused v2 tree) or ``v2``.
        mounts: for v1 and hybrid, mount point by controller, in a fixed order; controllers
            mounted together have the same one. Named hierarchies are ``name=systemd``.
        unified: mount point of the v2 tree, or ``""``.
    """

    kind: str
    mounts: dict[str, str]
    unified: str = ""


_known: Hierarchies | None = None


def hierarchies() -> Hierarchies:
    """The host's hierarchies, looked up once in a process.

    Raises:
        FailedPrecondition: nothing that we know is mounted at ``/sys/fs/cgroup``.
    """
    global _known
    if _known is None:
        _known = detect(ROOT)
    return _known


def remember(found: Hierarchies) -> None:
    """Spare this process the look: another one of ours has had it."""
    global _known
    _known = found


def detect(root: str) -> Hierarchies:
    """Look at the tree mounted at ``root``."""
    magic = statfs_type(root)
    if magic == CGROUP2_SUPER_MAGIC:
        return Hierarchies(kind="v2", mounts={}, unified=root)
    mounts: dict[str, str] = {}
    unified = ""
    if magic == TMPFS_MAGIC:
        for name in sorted(posix.listdir(root)):
            path = f"{root}/{name}"
            if paths.is_link(path) or not paths.is_directory(path):
                continue  # cpu -> cpu,cpuacct
            found = statfs_type(path)
            if found == CGROUP2_SUPER_MAGIC:
                unified = path
            elif found == CGROUP_SUPER_MAGIC:
                mounts.update({key: path for key in _controllers(name)})
    if not mounts:
        raise FailedPrecondition(
            "no cgroup hierarchy is mounted",
            path=root,
            hint="mount -t cgroup2 none /sys/fs/cgroup",
        )
    return Hierarchies(kind="hybrid" if unified else "v1", mounts=mounts, unified=unified)


def _controllers(directory: str) -> list[str]:
    """The controllers that distributions mount at a directory of this name."""
    if directory in ("systemd", "elogind", "openrc"):
        return [f"name={directory}"]
    return directory.split(",")


def own_group(pid: int | str = "self") -> str:
    """A process's group in the v2 tree, as our cgroup namespace shows it."""
    fd = posix.open(f"/proc/{pid}/cgroup", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        lines = posix.read(fd, 65536).splitlines()
    finally:
        posix.close(fd)
    for line in lines:
        if line.startswith(b"0::"):
            return paths.fsdecode(line[3:])
    return "/"


def checked(path: str) -> str:
    """``path`` as an absolute one without ``.``, doubled slashes or an end slash.

    Raises:
        InvalidArgument: it has ``..`` or NUL, or names the top itself.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in path:
        raise InvalidArgument("cgroup path must not leave its parent", path=path)
    if not parts:
        raise InvalidArgument("cgroup path is empty", path=path)
    return "/" + "/".join(parts)
