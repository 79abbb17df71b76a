"""Counters of cgroup v1 in the form of the protocol."""

from __future__ import annotations

import posix

from corten.cgroups import fs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PAGE_COUNTER_MAX = 0x7FFFFFFFFFFFF000  # what v1 prints for "no limit"
_TICK_NS = 10_000_000  # USER_HZ is 100 on every architecture we run on


def read(dirs: dict[str, str]) -> dict[str, Any]:
    """All counters of a group; ``dirs`` are its directories by controller."""
    result: dict[str, Any] = {}
    if "cpuacct" in dirs:
        result["cpu"] = _cpu(dirs["cpuacct"], dirs.get("cpu", ""))
    if "memory" in dirs:
        result["memory"] = _memory(dirs["memory"])
    if "pids" in dirs:
        directory = dirs["pids"]
        result["pids"] = {
            "current": fs.read_int(f"{directory}/pids.current"),
            "limit": fs.read_int(f"{directory}/pids.max", -1),
        }
    if "blkio" in dirs:
        directory = dirs["blkio"]
        result["io"] = {
            "bytes": _devices(directory, "io_service_bytes_recursive"),
            "operations": _devices(directory, "io_serviced_recursive"),
        }
    if "hugetlb" in dirs:
        result["hugetlb"] = _hugetlb(dirs["hugetlb"])
    return result


def _cpu(account: str, cpu: str) -> dict[str, Any]:
    times = fs.read_table(f"{account}/cpuacct.stat")
    throttling = fs.read_table(f"{cpu}/cpu.stat") if cpu else {}
    return {
        "usage_ns": fs.read_int(f"{account}/cpuacct.usage"),
        "user_ns": times.get("user", 0) * _TICK_NS,
        "system_ns": times.get("system", 0) * _TICK_NS,
        "per_cpu_ns": [int(item) for item in fs.read_or(f"{account}/cpuacct.usage_percpu").split()],
        "periods": throttling.get("nr_periods", 0),
        "throttled_periods": throttling.get("nr_throttled", 0),
        "throttled_ns": throttling.get("throttled_time", 0),
    }


_CPUSET = (
    "cpu_exclusive",
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
    "sched_relax_domain_level",
)


def details(dirs: dict[str, str]) -> dict[str, Any]:
    """What only ``events`` shows: the processors and memory nodes, each processor's time apart by
    user and kernel, the kernel's memory."""
    cpuset, memory = dirs.get("cpuset", ""), dirs.get("memory", "")
    rows = [
        line.split() for line in fs.read_or(f"{dirs.get('cpuacct')}/cpuacct.usage_all").split("\n")
    ]
    times = [row for row in rows if len(row) == 3 and row[0].isdigit()]
    return {
        "per_cpu_user_ns": [int(row[1]) for row in times],
        "per_cpu_system_ns": [int(row[2]) for row in times],
        "cpuset": {
            "cpus": _numbers(fs.read_or(f"{cpuset}/cpuset.cpus")),
            "mems": _numbers(fs.read_or(f"{cpuset}/cpuset.mems")),
            **{name: fs.read_int(f"{cpuset}/cpuset.{name}") for name in _CPUSET},
        }
        if cpuset
        else {},
        "kernel": {
            "usage": fs.read_int(f"{memory}/memory.kmem.usage_in_bytes"),
            "max": fs.read_int(f"{memory}/memory.kmem.max_usage_in_bytes"),
        },
    }


def _numbers(text: str) -> list[int]:
    """``0-2,7`` one by one."""
    found: list[int] = []
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return found


def _limit(path: str) -> int:
    value = fs.read_int(path, -1)
    return -1 if value >= _PAGE_COUNTER_MAX else value


def _memory(directory: str) -> dict[str, Any]:
    stat = fs.read_table(f"{directory}/memory.stat")
    usage = fs.read_int(f"{directory}/memory.usage_in_bytes")
    both = fs.read_int(f"{directory}/memory.memsw.usage_in_bytes", usage)
    return {
        "usage": usage,
        "max_usage": fs.read_int(f"{directory}/memory.max_usage_in_bytes"),
        "limit": _limit(f"{directory}/memory.limit_in_bytes"),
        "swap_usage": max(both - usage, 0),
        "swap_limit": _limit(f"{directory}/memory.memsw.limit_in_bytes"),
        "failcnt": fs.read_int(f"{directory}/memory.failcnt"),
        "inactive_file": stat.get("total_inactive_file", stat.get("inactive_file", 0)),
        "oom_kills": fs.read_table(f"{directory}/memory.oom_control").get("oom_kill", 0),
        "stat": stat,
    }


def _devices(directory: str, name: str) -> list[dict[str, Any]]:
    """``major:minor Operation value`` lines; the throttle layer counts without bfq too."""
    lines = fs.read_or(f"{directory}/blkio.bfq.{name}") or fs.read_or(
        f"{directory}/blkio.throttle.{name}"
    )
    found = []
    for line in lines.split("\n"):
        words = line.split()
        if len(words) != 3:
            continue  # the total over all devices
        major, _, minor = words[0].partition(":")
        found.append(
            {"major": int(major), "minor": int(minor), "op": words[1], "value": int(words[2])}
        )
    return found


def _hugetlb(directory: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        names = posix.listdir(directory)
    except OSError:
        return found
    for name in names:
        size = name[len("hugetlb.") : -len(".usage_in_bytes")]
        if not name.startswith("hugetlb.") or not name.endswith(".usage_in_bytes") or "." in size:
            continue
        prefix = f"{directory}/hugetlb.{size}"
        found[size] = {
            "usage": fs.read_int(f"{prefix}.usage_in_bytes"),
            "max_usage": fs.read_int(f"{prefix}.max_usage_in_bytes"),
            "failcnt": fs.read_int(f"{prefix}.failcnt"),
        }
    return found
