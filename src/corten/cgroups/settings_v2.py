"""``linux.resources`` as files of cgroup v2 (config-linux.md; v1's figures are converted)."""

from __future__ import annotations

from math import ceil, log2

from corten.cgroups.settings import (
    Setting,
    check_swap,
    device_lines,
    member,
    number,
    page_size,
    rdma,
    text,
)
from corten.errors import FailedPrecondition, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DEFAULT_PERIOD = 100_000  # microseconds
_IO_MAX = (
    ("throttleReadBpsDevice", "rbps"),
    ("throttleWriteBpsDevice", "wbps"),
    ("throttleReadIOPSDevice", "riops"),
    ("throttleWriteIOPSDevice", "wiops"),
)


def plan(resources: dict[str, Any], *, cpu_max: str = "max 100000") -> list[Setting]:
    """What to write, in an order that a fresh group accepts; device rules are not among it.

    Arguments:
        cpu_max: the present content of ``cpu.max``, for an update of one half of it.
    Raises:
        InvalidArgument: a value that no kernel takes.
        FailedPrecondition: something that v2 has no file for.
    """
    _refuse_network(member(resources, "network"))
    return [
        *_memory(member(resources, "memory")),
        *_cpu(member(resources, "cpu"), cpu_max),
        *_pids(member(resources, "pids")),
        *_block(member(resources, "blockIO")),
        *_hugetlb(resources.get("hugepageLimits") or []),
        *rdma(resources),
        *_unified(member(resources, "unified")),
    ]


def weight_of_shares(shares: int) -> int:
    """``cpu.weight`` (1 to 10000) for v1's ``cpu.shares`` (2 to 262144).

    A curve through both ends and through both defaults (1024 becomes 100), as current runc and
    crun have it; the straight line of older ones made 39 of 1024, less than a plain service has.
    """
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    power = log2(shares)
    return ceil(10 ** ((power * power + 125 * power) / 612.0 - 7.0 / 34.0))


def io_weight_of_blkio(weight: int) -> int:
    """``io.weight`` (1 to 10000) for ``blkio.weight`` (10 to 1000), on a line."""
    return 1 + (weight - 10) * 9999 // 990


def _limit(value: int) -> str:
    return "max" if value < 0 else str(value)


def _not_here(name: str, value: object) -> FailedPrecondition:
    return FailedPrecondition(
        f"{name} = {value} can't be set: cgroup v2 has no such limit", step="resources", path=name
    )


def _refuse_network(network: dict[str, Any]) -> None:
    for name in ("classID", "priorities"):
        if network.get(name):
            raise _not_here(f"network.{name}", network[name])


def _memory(memory: dict[str, Any]) -> list[Setting]:
    check_swap(memory)
    for name in ("kernelTCP", "swappiness", "disableOOMKiller"):
        if memory.get(name):
            raise _not_here(f"memory.{name}", memory[name])
    limit, swap = number(memory, "limit", "memory"), number(memory, "swap", "memory")
    reservation = number(memory, "reservation", "memory")
    settings = []

    def add(name: str, file: str, value: str) -> None:
        settings.append(
            Setting(controller="memory", file=file, value=value, asked=f"memory.{name}")
        )

    if swap:
        # v1's figure is memory and swap together
        add("swap", "memory.swap.max", _limit(swap if swap < 0 else swap - (limit or 0)))
    elif limit == -1:
        add("swap", "memory.swap.max", "max")
    if limit:
        add("limit", "memory.max", _limit(limit))
    if reservation:
        add("reservation", "memory.low", _limit(reservation))
    return settings


def _cpu(cpu: dict[str, Any], present: str) -> list[Setting]:
    for name in ("realtimeRuntime", "realtimePeriod"):
        if cpu.get(name):
            raise _not_here(f"cpu.{name}", cpu[name])
    settings = []

    def add(name: str, file: str, value: str, controller: str = "cpu") -> None:
        settings.append(Setting(controller=controller, file=file, value=value, asked=f"cpu.{name}"))

    idle, shares = number(cpu, "idle", "cpu"), number(cpu, "shares", "cpu")
    if idle is not None:
        add("idle", "cpu.idle", str(idle))
    if shares and not idle:  # a group that is idle has no weight
        add("shares", "cpu.weight", str(weight_of_shares(shares)))
    quota, period = number(cpu, "quota", "cpu"), number(cpu, "period", "cpu")
    if quota or period:
        old_quota, _, old_period = present.partition(" ")
        first = old_quota if not quota else _limit(quota)
        add("quota", "cpu.max", f"{first} {period or old_period or _DEFAULT_PERIOD}")
    burst = number(cpu, "burst", "cpu")
    if burst is not None:
        add("burst", "cpu.max.burst", str(burst))
    for name in ("cpus", "mems"):
        listed = text(cpu, name, "cpu")
        if listed:
            add(name, f"cpuset.{name}", listed, "cpuset")
    return settings


def _pids(pids: dict[str, Any]) -> list[Setting]:
    limit = number(pids, "limit", "pids")
    if limit is None:
        return []
    # no kernel takes 0: the process itself counts
    value = _limit(limit or 1)
    return [Setting(controller="pids", file="pids.max", value=value, asked="pids.limit")]


def _block(block: dict[str, Any]) -> list[Setting]:
    if block.get("leafWeight"):
        raise _not_here("blockIO.leafWeight", block["leafWeight"])
    settings = []
    weights = [("weight", "", number(block, "weight", "blockIO"))]
    for device, device_weight in device_lines(block, "weightDevice", "weight"):
        weights.append(("weightDevice", f"{device} ", device_weight))
    for name, device, weight in weights:
        if weight:
            settings.append(
                Setting(
                    controller="io",
                    # bfq has v1's scale; io.weight is iocost's
                    file="io.bfq.weight",
                    value=f"{device}{weight}",
                    others=(("io.weight", f"{device}{io_weight_of_blkio(weight)}"),),
                    asked=f"blockIO.{name}",
                )
            )
    for name, key in _IO_MAX:
        for device, rate in device_lines(block, name, "rate"):
            value = f"{device} {key}={rate or 'max'}"
            settings.append(
                Setting(controller="io", file="io.max", value=value, asked=f"blockIO.{name}")
            )
    return settings


def _hugetlb(limits: list[dict[str, Any]]) -> list[Setting]:
    settings = []
    for item in limits:
        size, limit = page_size(item.get("pageSize")), number(item, "limit", "hugepageLimits")
        for file, optional in ((f"hugetlb.{size}.max", False), (f"hugetlb.{size}.rsvd.max", True)):
            settings.append(
                Setting(
                    controller="hugetlb",
                    file=file,
                    value=str(limit or 0),
                    asked=f"hugepageLimits.{size}",
                    optional=optional,
                )
            )
    return settings


def _unified(unified: dict[str, Any]) -> list[Setting]:
    settings = []
    for file, content in unified.items():
        controller, _, rest = file.partition(".")
        if not rest or "/" in file or "\0" in file or not isinstance(content, str):
            raise InvalidArgument(
                f"linux.resources.unified has {file!r}, which is no cgroup file", step="resources"
            )
        # files like io.max take one line per write
        for line in content.split("\n"):
            if line.strip():
                settings.append(
                    Setting(controller=controller, file=file, value=line, asked=f"unified.{file}")
                )
    return settings
