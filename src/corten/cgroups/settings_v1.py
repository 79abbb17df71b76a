"""``linux.resources`` as files of cgroup v1."""

from __future__ import annotations

from corten.cgroups.settings import (
    Setting,
    check_swap,
    check_swappiness,
    device_lines,
    member,
    number,
    page_size,
    rdma,
    text,
)
from corten.errors import FailedPrecondition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CPU = (
    ("idle", "cpu.idle"),
    ("shares", "cpu.shares"),
    ("realtimePeriod", "cpu.rt_period_us"),
    ("realtimeRuntime", "cpu.rt_runtime_us"),
    ("period", "cpu.cfs_period_us"),
    ("quota", "cpu.cfs_quota_us"),
    ("burst", "cpu.cfs_burst_us"),
)
_THROTTLE = (
    ("throttleReadBpsDevice", "blkio.throttle.read_bps_device"),
    ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device"),
    ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device"),
    ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device"),
)


def plan(resources: dict[str, Any]) -> list[Setting]:
    """What to write, in an order that a fresh group accepts; device rules are not among it.

    Raises:
        InvalidArgument: a value that no kernel takes.
        FailedPrecondition: something that v1 has no file for.
    """
    if resources.get("unified"):
        raise FailedPrecondition(
            "invalid configuration: linux.resources.unified needs cgroup v2",
            step="resources",
            path="unified",
        )
    return [
        *_memory(member(resources, "memory")),
        *_cpu(member(resources, "cpu")),
        *_pids(member(resources, "pids")),
        *_block(member(resources, "blockIO")),
        *_hugetlb(resources.get("hugepageLimits") or []),
        *_network(member(resources, "network")),
        *rdma(resources),
    ]


def _memory(memory: dict[str, Any]) -> list[Setting]:
    check_swap(memory)
    limit, swap = number(memory, "limit", "memory"), number(memory, "swap", "memory")
    implied = limit == -1 and not swap
    if implied:
        swap = -1  # an unlimited memory below a limit of both would be refused
    values: list[tuple[str, str, int | None]] = [
        ("useHierarchy", "memory.use_hierarchy", 1 if memory.get("useHierarchy") else None),
        ("limit", "memory.limit_in_bytes", limit or None),
        ("swap", "memory.memsw.limit_in_bytes", swap or None),
        ("reservation", "memory.soft_limit_in_bytes", number(memory, "reservation", "memory")),
        ("kernelTCP", "memory.kmem.tcp.limit_in_bytes", number(memory, "kernelTCP", "memory")),
        ("swappiness", "memory.swappiness", check_swappiness(memory)),
        ("disableOOMKiller", "memory.oom_control", 1 if memory.get("disableOOMKiller") else None),
    ]
    return [
        Setting(
            controller="memory",
            file=file,
            value=str(value),
            asked=f"memory.{name}",
            optional=implied and name == "swap",
        )
        for name, file, value in values
        if value is not None
    ]


def _cpu(cpu: dict[str, Any]) -> list[Setting]:
    settings = []
    for name, file in _CPU:
        value = number(cpu, name, "cpu")
        # zero means unset for everything but these, as callers send zeros for "nothing asked"
        if value is None or (value == 0 and name not in ("idle", "burst", "realtimeRuntime")):
            continue
        settings.append(Setting(controller="cpu", file=file, value=str(value), asked=f"cpu.{name}"))
    for name, file in (("cpus", "cpuset.cpus"), ("mems", "cpuset.mems")):
        listed = text(cpu, name, "cpu")
        if listed:
            settings.append(
                Setting(controller="cpuset", file=file, value=listed, asked=f"cpu.{name}")
            )
    return settings


def _pids(pids: dict[str, Any]) -> list[Setting]:
    limit = number(pids, "limit", "pids")
    if limit is None:
        return []
    # no kernel takes 0: the process itself counts (runtime-spec: 0 is a limit, -1 is none)
    value = str(limit or 1) if limit >= 0 else "max"
    return [Setting(controller="pids", file="pids.max", value=value, asked="pids.limit")]


def _block(block: dict[str, Any]) -> list[Setting]:
    settings = []

    def add(name: str, value: str, file: str, *others: str) -> None:
        settings.append(
            Setting(
                controller="blkio",
                file=file,
                others=tuple([(other, value) for other in others]),
                value=value,
                asked=f"blockIO.{name}",
            )
        )

    weight, leaf = number(block, "weight", "blockIO"), number(block, "leafWeight", "blockIO")
    if weight:
        add("weight", str(weight), "blkio.weight", "blkio.bfq.weight")
    if leaf:
        add("leafWeight", str(leaf), "blkio.leaf_weight")
    for device, value in device_lines(block, "weightDevice", "weight"):
        line = f"{device} {value}"
        add("weightDevice", line, "blkio.weight_device", "blkio.bfq.weight_device")
    for device, value in device_lines(block, "weightDevice", "leafWeight"):
        add("weightDevice", f"{device} {value}", "blkio.leaf_weight_device")
    for name, file in _THROTTLE:
        for device, value in device_lines(block, name, "rate"):
            add(name, f"{device} {value}", file)
    return settings


def _hugetlb(limits: list[dict[str, Any]]) -> list[Setting]:
    settings = []
    for item in limits:
        size, limit = page_size(item.get("pageSize")), number(item, "limit", "hugepageLimits")
        for file, optional in (
            (f"hugetlb.{size}.limit_in_bytes", False),
            (f"hugetlb.{size}.rsvd.limit_in_bytes", True),
        ):
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


def _network(network: dict[str, Any]) -> list[Setting]:
    settings = []
    class_id = number(network, "classID", "network")
    if class_id:
        settings.append(
            Setting(
                controller="net_cls",
                file="net_cls.classid",
                value=str(class_id),
                asked="network.classID",
            )
        )
    for item in network.get("priorities") or ():
        settings.append(
            Setting(
                controller="net_prio",
                file="net_prio.ifpriomap",
                value=f"{item['name']} {item['priority']}",
                asked="network.priorities",
            )
        )
    return settings
