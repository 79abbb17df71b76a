"""Control groups: which tree, which controllers."""

from __future__ import annotations

import os
from pathlib import Path

from corten.cgroups import detect
from corten.cgroups.detect import Hierarchies
from corten.daemon.checks.finding import Area, Finding, reason
from corten.errors import CortenError
from corten.kernel import bpf

_ALLOW = b"\xb7" + bytes(3) + b"\x01" + bytes(3) + b"\x95" + bytes(7)  # r0 = 1; exit
_TELLS = {  # controller in v2, in v1: what does not work without it
    "memory": ("memory", "no memory limits (-m), no memory column in stats"),
    "cpu": ("cpu", "no CPU limits (--cpus, --cpu-shares)"),
    "pids": ("pids", "no limit of processes (--pids-limit): a fork bomb takes the machine"),
    "cpuset": ("cpuset", "no pinning to processors (--cpuset-cpus)"),
    "io": ("blkio", "no limits of block devices (--blkio-weight, --device-read-bps)"),
    "hugetlb": ("hugetlb", "no limits of huge pages"),
}


def check(root: str = detect.ROOT) -> list[Finding]:
    """The findings; blocks for microseconds.

    Arguments:
        root: where cgroups are mounted.
    """
    area = Area("cgroups")
    try:
        tree = detect.detect(root)
    except (CortenError, OSError) as error:
        hint = error.hint if isinstance(error, CortenError) else ""
        area.add(
            "tree", False, str(error), need="needed", without="no container starts",
            remedy=hint or f"mount -t cgroup2 none {root}",
        )  # fmt: skip
        return area.findings
    area.add("tree", True, tree.kind, need="needed")
    _writable(area, tree)
    names = _controllers(tree)
    for name, (old, without) in _TELLS.items():
        shown = name if tree.kind == "v2" else old
        area.add(
            shown, shown in names, without=without,
            remedy=f"a kernel (or a command line of it) with the controller {shown}",
        )  # fmt: skip
    if tree.kind == "v2":
        _only_v2(area, tree)
    else:
        _only_v1(area, tree, names)
    return area.findings


def _controllers(tree: Hierarchies) -> set[str]:
    if tree.kind != "v2":
        return set(tree.mounts)
    try:
        return set(Path(tree.unified, "cgroup.controllers").read_text("ascii").split())
    except OSError:
        return set()


def _writable(area: Area, tree: Hierarchies) -> None:
    places = sorted({tree.unified} if tree.kind == "v2" else set(tree.mounts.values()))
    closed = [place for place in places if not os.access(place, os.W_OK)]
    if os.geteuid() != 0:
        area.add("groups can be made", None, "only root can tell", need="needed")
        return
    area.add(
        "groups can be made", not closed, ", ".join(closed) and f"read-only: {', '.join(closed)}",
        need="needed", without="no container starts",
        remedy="mount -o remount,rw the directories; in a container: run it with --privileged",
    )  # fmt: skip


def _only_v2(area: Area, tree: Hierarchies) -> None:
    ok, why = _device_rules()
    area.add(
        "device rules", ok, why, need="needed", without="a container could open every device",
        remedy="a kernel with CONFIG_CGROUP_BPF",
    )  # fmt: skip
    one = next((p for p in sorted(Path(tree.unified).iterdir()) if p.is_dir()), None)
    if one is not None:
        area.add(
            "cgroup.kill", (one / "cgroup.kill").exists(),
            without="groups are killed process by process", remedy="Linux 5.14 or later",
        )  # fmt: skip


def _device_rules() -> tuple[bool | None, str]:
    """Whether a program that decides about devices can be loaded; it is not attached."""
    if os.geteuid():
        return None, "only root can tell"
    try:
        os.close(bpf.load_device_program(_ALLOW, "corten_check"))
    except OSError as error:
        return False, reason(error)
    return True, "by BPF"


def _only_v1(area: Area, tree: Hierarchies, names: set[str]) -> None:
    area.add(
        "devices", "devices" in names, need="needed",
        without="a container could open every device",
        remedy="mount the hierarchy: mount -t cgroup -o devices none /sys/fs/cgroup/devices",
    )  # fmt: skip
    area.add(
        "freezer", "freezer" in names, without="no pause, and commit does not stop the container",
        remedy="mount the hierarchy: mount -t cgroup -o freezer none /sys/fs/cgroup/freezer",
    )  # fmt: skip
    swap = Path(tree.mounts.get("memory", ""), "memory.memsw.limit_in_bytes")
    area.add(
        "swap limits", swap.exists(), without="--memory-swap has no effect",
        remedy="swapaccount=1 on the kernel's command line",
    )  # fmt: skip
