"""The kernel: its version, system calls, namespaces, limits."""

from __future__ import annotations

import errno
import os
import re
import resource
from collections.abc import Callable
from pathlib import Path

from corten.daemon.checks.finding import Area, Finding, reason
from corten.kernel import files, mounts, process

_OLDEST = (5, 10)
_UPGRADE = "use a newer kernel, or ask whoever filters system calls here to let it through"
_NAMESPACES = ("mnt", "pid", "net", "ipc", "uts")
_NOFILE = 65536


def check() -> list[Finding]:
    """The findings; blocks for microseconds."""
    area = Area("kernel")
    _version(area, os.uname().release)
    _calls(area)
    _namespaces(area, Path("/proc/self/ns"))
    _limits(area)
    return area.findings


def _version(area: Area, release: str) -> None:
    numbers = re.match(r"(\d+)\.(\d+)", release)
    found = tuple(int(n) for n in numbers.groups()) if numbers else (0, 0)
    oldest = ".".join(map(str, _OLDEST))
    area.add(
        "Linux", found >= _OLDEST, f"{release} (from {oldest} on)", need="needed",
        without="older kernels lack system calls that every container needs",
        remedy=f"install a kernel {oldest} or later",
    )  # fmt: skip


def _calls(area: Area) -> None:
    needed: dict[str, Callable[[], int | None]] = {
        "pidfd_open": lambda: process.pidfd_open(os.getpid()),
        "openat2": lambda: files.openat2(mounts.AT_FDCWD, "/", os.O_PATH),
        "close_range": lambda: process.close_range(1 << 30, 1 << 30),
        "memfd_create": lambda: process.memfd("corten-check", b""),
    }
    for name, function in needed.items():
        ok, why = works(function)
        area.add(
            name, ok, why, need="needed",
            without="no container starts", remedy=_UPGRADE,
        )  # fmt: skip
    ok, why = works(lambda: mounts.open_tree(mounts.AT_FDCWD, "/"))
    area.add("open_tree", ok, why, without="no id-mapped mounts", remedy=_UPGRADE)
    ok, why = works(_set_nothing)
    area.add(
        "mount_setattr", ok, why,
        without="no recursive read-only and no id-mapped mounts", remedy=_UPGRADE,
    )  # fmt: skip


def _set_nothing() -> None:
    """An empty change of a path that does not exist: ENOENT where the call is there."""
    try:
        mounts.mount_setattr(mounts.AT_FDCWD, "/proc/self/nothing", 0)
    except FileNotFoundError:
        return


def works(function: Callable[[], int | None]) -> tuple[bool | None, str]:
    """Whether a system call is there (None: not known), and if not, why; a descriptor that it
    gives is closed."""
    try:
        fd = function()
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EBADF):
            return True, ""  # it looked at the arguments
        if error.errno == errno.EPERM and os.geteuid():
            return None, "only root can tell"
        return False, reason(error)
    if fd:
        os.close(fd)
    return True, ""


def _namespaces(area: Area, directory: Path) -> None:
    missing = [name for name in _NAMESPACES if not (directory / name).exists()]
    area.add(
        "namespaces", not missing, ", ".join(missing or _NAMESPACES), need="needed",
        without="nothing is isolated", remedy="a kernel with CONFIG_NAMESPACES",
    )  # fmt: skip
    limit = _number(Path("/proc/sys/user/max_user_namespaces"))
    user = (directory / "user").exists() and limit != 0
    area.add(
        "user namespaces", user, "" if user else "switched off",
        without="no containers whose root is not the machine's",
        remedy="sysctl user.max_user_namespaces=15000",
    )  # fmt: skip
    for name, without in (
        ("cgroup", "containers see the machine's cgroup tree"),
        ("time", "no clocks of a container's own"),
    ):
        area.add(
            f"{name} namespaces", (directory / name).exists(), without=without, remedy=_UPGRADE
        )


def _limits(area: Area) -> None:
    instances = _number(Path("/proc/sys/fs/inotify/max_user_instances"))
    area.add(
        "inotify instances", instances >= 128 if instances >= 0 else None,
        str(instances) if instances >= 0 else "not shown",
        without="many followers of logs at once run out",
        remedy="sysctl fs.inotify.max_user_instances=1024",
    )  # fmt: skip
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    area.add(
        "open files", hard >= 4096 or hard == resource.RLIM_INFINITY, str(hard),
        without="few containers at once", remedy=f"ulimit -n {_NOFILE} where cortend is started",
    )  # fmt: skip
    pids = _number(Path("/proc/sys/kernel/pid_max"))
    area.add(
        "process ids", pids >= 32768 if pids >= 0 else None, str(pids),
        without="few processes at once", remedy="sysctl kernel.pid_max=4194304",
    )  # fmt: skip


def _number(path: Path) -> int:
    """-1: the kernel does not say."""
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return -1
