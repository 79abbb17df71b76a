"""systemd's names and properties for a cgroup: pure functions."""

from __future__ import annotations

from corten.cgroups.settings import check_swap, member, number, text
from corten.cgroups.settings_v2 import weight_of_shares
from corten.errors import InvalidArgument
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Property = tuple[str, tuple[str, Any]]

_INFINITY = 0xFFFF_FFFF_FFFF_FFFF
_QUOTA_STEP = 10_000  # systemd rounds CPUQuotaPerSecUSec to whole percents
_DEFAULT_PERIOD = 100_000  # microseconds
_DEFAULT_SLICE = "system.slice"


class Unit(Struct):
    """What ``slice:prefix:name`` stands for."""

    name: str
    slice: str
    path: str

    @property
    def is_slice(self) -> bool:
        """A slice holds other units and no processes of its own."""
        return self.name.endswith(".slice")


def parse(path: str) -> Unit:
    """The unit of a ``slice:prefix:name``, as containerd, CRI-O and podman write it.

    Raises:
        InvalidArgument: it has not three parts, or they are no unit names.
    """
    parts = path.split(":")
    if len(parts) != 3 or "/" in path or "\0" in path:
        raise InvalidArgument(
            "cgroup path is not slice:prefix:name", path=path, hint="drop --systemd-cgroup"
        )
    parent, prefix, name = parts
    parent = parent or _DEFAULT_SLICE
    if not name:
        raise InvalidArgument("cgroup path has no name", path=path)
    if not name.endswith(".slice"):
        name = f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    return Unit(name=name, slice=parent, path=f"{slice_path(parent)}/{name}")


def slice_path(name: str) -> str:
    """Where a slice's group is: ``a-b.slice`` lies in ``a.slice`` (systemd.slice(5))."""
    stem, dot, suffix = name.rpartition(".")
    if name == "-.slice":
        return ""
    if not dot or suffix != "slice" or any([not part for part in stem.split("-")]):
        raise InvalidArgument(f"{name!r} is no slice's name", step="systemd cgroup")
    parts = stem.split("-")
    names = ["-".join(parts[: count + 1]) for count in range(len(parts))]
    return "".join([f"/{item}.slice" for item in names])


def start_properties(unit: Unit, pid: int) -> list[Property]:
    """Properties of the transient unit; ``pid`` is the scope's first process."""
    properties: list[Property] = [
        ("Description", ("s", f"container {unit.name}")),
        ("DefaultDependencies", ("b", False)),
        ("CollectMode", ("s", "inactive-or-failed")),
    ]
    for name in ("CPUAccounting", "MemoryAccounting", "IOAccounting", "TasksAccounting"):
        properties.append((name, ("b", True)))
    if unit.is_slice:
        properties.append(("Wants", ("as", [unit.slice])))
        return properties
    properties.append(("Slice", ("s", unit.slice)))
    properties.append(("Delegate", ("b", True)))
    properties.append(("PIDs", ("au", [pid])))
    return properties


def limit_properties(resources: dict[str, Any], *, v2: bool) -> list[Property]:
    """The limits that systemd would reset to its own idea of them if it were not told."""
    return [
        *_memory(member(resources, "memory"), v2),
        *_cpu(member(resources, "cpu"), v2),
        *_tasks(member(resources, "pids")),
    ]


def _bytes(value: int) -> tuple[str, int]:
    return ("t", _INFINITY if value < 0 else value)


def _memory(memory: dict[str, Any], v2: bool) -> list[Property]:
    check_swap(memory)
    limit, swap = number(memory, "limit", "memory"), number(memory, "swap", "memory")
    reservation = number(memory, "reservation", "memory")
    properties: list[Property] = []
    if limit:
        properties.append(("MemoryMax" if v2 else "MemoryLimit", _bytes(limit)))
    if not v2:
        return properties
    if reservation:
        properties.append(("MemoryLow", _bytes(reservation)))
    if swap:
        properties.append(("MemorySwapMax", _bytes(swap if swap < 0 else swap - (limit or 0))))
    return properties


def _cpu(cpu: dict[str, Any], v2: bool) -> list[Property]:
    properties: list[Property] = []
    shares, quota = number(cpu, "shares", "cpu"), number(cpu, "quota", "cpu")
    period = number(cpu, "period", "cpu") or 0
    if shares:
        name = "CPUWeight" if v2 else "CPUShares"
        properties.append((name, ("t", weight_of_shares(shares) if v2 else shares)))
    if period:
        properties.append(("CPUQuotaPeriodUSec", ("t", period)))
    if quota:
        per_second = _INFINITY
        if quota > 0:
            per_second = quota * 1_000_000 // (period or _DEFAULT_PERIOD)
            per_second += -per_second % _QUOTA_STEP
        properties.append(("CPUQuotaPerSecUSec", ("t", per_second)))
    for name, key in (("cpus", "AllowedCPUs"), ("mems", "AllowedMemoryNodes")):
        listed = text(cpu, name, "cpu")
        if listed and v2:
            properties.append((key, ("ay", list(bit_mask(listed)))))
    return properties


def _tasks(pids: dict[str, Any]) -> list[Property]:
    limit = number(pids, "limit", "pids")
    return [] if limit is None else [("TasksMax", _bytes(limit or 1))]


def bit_mask(listed: str) -> bytes:
    """``0-2,7`` as bytes, bit 0 of the first byte for number 0.

    Raises:
        InvalidArgument: it is no such list.
    """
    mask = 0
    for item in listed.split(","):
        low, dash, high = item.strip().partition("-")
        if not low.isdigit() or (dash and not high.isdigit()):
            raise InvalidArgument(f"{listed!r} is not like 0-2,7", step="resources")
        for number_ in range(int(low), int(high or low) + 1):
            mask |= 1 << number_
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little")
