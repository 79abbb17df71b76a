"""Facts of the machine that a container's configuration depends on."""

from __future__ import annotations

import os
import platform
import stat
from pathlib import Path

import msgspec

from corten.engine.specgen import capabilities
from corten.engine.specgen.devices import HostDevice
from corten.errors import InvalidArgument

# Of the daemon's own mounts, or with a meaning of their own inside a container.
_SKIPPED_DEVICES = ("pts", "shm", "fd", "mqueue", "console", "hugepages", ".udev")


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Read once at the start of the daemon.

    Fields:
        capabilities: the daemon's own effective ones, which is what it can give.
        cgroup_version: 2 where the unified hierarchy is mounted at /sys/fs/cgroup.
        swap_accounting: the kernel can limit swap.
    """

    hostname: str
    kernel: str
    architecture: str
    operating_system: str
    cpus: int
    memory: int  # bytes
    capabilities: tuple[str, ...]
    cgroup_version: int
    swap_accounting: bool


def read() -> HostFacts:
    """Ask the kernel; blocks for microseconds."""
    name = os.uname()
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    memsw = Path("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists()
    return HostFacts(
        hostname=name.nodename,
        kernel=name.release,
        architecture=name.machine,
        operating_system=_operating_system(),
        cpus=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        capabilities=_own_capabilities(),
        cgroup_version=2 if unified else 1,
        swap_accounting=memsw or (unified and Path("/proc/swaps").exists()),
    )


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _own_capabilities() -> tuple[str, ...]:
    for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
        if line.startswith("CapEff:"):
            return capabilities.from_mask(int(line.split()[1], 16))
    return ()


def device(path: str) -> HostDevice:
    """The device node at a path (symbolic links followed, as Docker does); may block.

    Raises:
        InvalidArgument: there is none.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise InvalidArgument(
            f"error gathering device information: {error.strerror}", path=path
        ) from None
    node = _node(path, found)
    if node is None:
        raise InvalidArgument("not a device node", path=path)
    return node


def all_devices() -> list[HostDevice]:
    """Every device node below /dev, for a privileged container."""
    found = []
    for directory, names, files in os.walk("/dev"):
        names[:] = [name for name in names if name not in _SKIPPED_DEVICES]
        for name in files:
            if name in _SKIPPED_DEVICES:
                continue
            path = f"{directory}/{name}"
            try:
                node = _node(path, os.lstat(path))
            except OSError:
                continue  # gone meanwhile
            if node is not None:
                found.append(node)
    return found


def _node(path: str, found: os.stat_result) -> HostDevice | None:
    kinds = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}
    kind = kinds.get(stat.S_IFMT(found.st_mode))
    if kind is None:
        return None
    return HostDevice(
        path=path,
        kind=kind,
        major=os.major(found.st_rdev),
        minor=os.minor(found.st_rdev),
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
    )
