"""Limits: the engine's to ``linux.resources``."""

from __future__ import annotations

from typing import Any

from corten.engine.types import Resources
from corten.errors import InvalidArgument

_PERIOD = 100_000  # microseconds; the kernel's default, and Docker's for --cpus
_NANO = 1_000_000_000


def linux_resources(wanted: Resources, *, swap_accounting: bool) -> dict[str, Any]:
    """``linux.resources`` without ``devices`` (config-linux.md, "Control groups").

    Arguments:
        swap_accounting: the kernel can limit swap; else only an explicit wish is passed on.

    Raises:
        InvalidArgument: limits that contradict each other.
    """
    parts = {
        "memory": _memory(wanted, swap_accounting),
        "cpu": _cpu(wanted),
        "pids": {} if wanted.pids_limit is None else {"limit": wanted.pids_limit or -1},
        "blockIO": {} if not wanted.blkio_weight else {"weight": wanted.blkio_weight},
        "unified": dict(wanted.unified),
    }
    document: dict[str, Any] = {name: part for name, part in parts.items() if part}
    if wanted.hugepage_limits:
        document["hugepageLimits"] = [
            {"pageSize": size, "limit": limit} for size, limit in wanted.hugepage_limits.items()
        ]
    return document


def _memory(wanted: Resources, swap_accounting: bool) -> dict[str, Any]:
    limit, swap = wanted.memory or 0, wanted.memory_swap or 0
    if swap > 0 and not limit:
        raise InvalidArgument("You should always set the Memory limit when using Memoryswap limit")
    if 0 < swap < limit:
        raise InvalidArgument("Minimum memoryswap limit should be larger than memory limit")
    reservation = wanted.memory_reservation or 0
    if limit and reservation > limit:
        raise InvalidArgument("Minimum memory limit can not be less than memory reservation limit")
    found: dict[str, Any] = {}
    if limit:
        found["limit"] = limit
        if swap == 0 and swap_accounting:
            swap = 2 * limit  # Docker's default: as much swap as memory
    if swap:
        found["swap"] = swap
    if reservation:
        found["reservation"] = reservation
    if wanted.memory_swappiness is not None and wanted.memory_swappiness >= 0:
        found["swappiness"] = wanted.memory_swappiness
    if wanted.oom_kill_disable:
        found["disableOOMKiller"] = True
    return found


def _cpu(wanted: Resources) -> dict[str, Any]:
    if wanted.nano_cpus and (wanted.cpu_quota or wanted.cpu_period):
        raise InvalidArgument("Conflicting options: Nano CPUs and CPU Period/Quota both set")
    if wanted.nano_cpus is not None and wanted.nano_cpus < 0:
        raise InvalidArgument("the number of CPUs is negative")
    found: dict[str, Any] = {}
    if wanted.nano_cpus:
        found["period"] = _PERIOD
        found["quota"] = wanted.nano_cpus * _PERIOD // _NANO
    if wanted.cpu_period:
        found["period"] = wanted.cpu_period
    if wanted.cpu_quota:
        found["quota"] = wanted.cpu_quota
    if wanted.cpu_shares:
        found["shares"] = wanted.cpu_shares
    if wanted.cpuset_cpus:
        found["cpus"] = wanted.cpuset_cpus
    if wanted.cpuset_mems:
        found["mems"] = wanted.cpuset_mems
    return found
