"""Counters of cgroup v2 in the form of the protocol."""

from __future__ import annotations

import posix

from corten.cgroups import fs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_IO_KEYS = {
    "rbytes": ("bytes", "Read"),
    "wbytes": ("bytes", "Write"),
    "dbytes": ("bytes", "Discard"),
    "rios": ("operations", "Read"),
    "wios": ("operations", "Write"),
    "dios": ("operations", "Discard"),
}


def read(directory: str) -> dict[str, Any]:
    """All counters of the group at ``directory``."""
    result: dict[str, Any] = {"cpu": _cpu(directory)}
    enabled = fs.read_or(f"{directory}/cgroup.controllers").split()
    if "memory" in enabled:
        result["memory"] = _memory(directory)
    if "pids" in enabled:
        result["pids"] = {
            "current": fs.read_int(f"{directory}/pids.current"),
            "limit": fs.read_int(f"{directory}/pids.max", -1),
        }
    if "io" in enabled:
        result["io"] = _io(directory)
    if "hugetlb" in enabled:
        result["hugetlb"] = _hugetlb(directory)
    return result


def _cpu(directory: str) -> dict[str, Any]:
    # there without the controller too, then without the throttling
    table = fs.read_table(f"{directory}/cpu.stat")
    return {
        "usage_ns": table.get("usage_usec", 0) * 1000,
        "user_ns": table.get("user_usec", 0) * 1000,
        "system_ns": table.get("system_usec", 0) * 1000,
        "per_cpu_ns": [],
        "periods": table.get("nr_periods", 0),
        "throttled_periods": table.get("nr_throttled", 0),
        "throttled_ns": table.get("throttled_usec", 0) * 1000,
    }


def _memory(directory: str) -> dict[str, Any]:
    stat = fs.read_table(f"{directory}/memory.stat")
    events = fs.read_table(f"{directory}/memory.events")
    usage = fs.read_int(f"{directory}/memory.current")
    limit = fs.read_int(f"{directory}/memory.max", -1)
    swap = fs.read_int(f"{directory}/memory.swap.max", -1)
    return {
        "usage": usage,
        "max_usage": fs.read_int(f"{directory}/memory.peak", usage),
        "limit": limit,
        "swap_usage": fs.read_int(f"{directory}/memory.swap.current"),
        "swap_limit": swap if swap < 0 or limit < 0 else swap + limit,
        "failcnt": events.get("max", 0),
        "inactive_file": stat.get("inactive_file", 0),
        "oom_kills": events.get("oom_kill", 0),
        "stat": stat,
    }


def _io(directory: str) -> dict[str, Any]:
    found: dict[str, Any] = {"bytes": [], "operations": []}
    for line in fs.read_or(f"{directory}/io.stat").split("\n"):
        words = line.split()
        if not words or ":" not in words[0]:
            continue
        major, _, minor = words[0].partition(":")
        for pair in words[1:]:
            key, _, value = pair.partition("=")
            if key in _IO_KEYS:
                group, operation = _IO_KEYS[key]
                found[group].append(
                    {
                        "major": int(major),
                        "minor": int(minor),
                        "op": operation,
                        "value": int(value),
                    }
                )
    return found


def _hugetlb(directory: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        names = posix.listdir(directory)
    except OSError:
        return found
    for name in names:
        size = name[len("hugetlb.") : -len(".current")]
        if not name.startswith("hugetlb.") or not name.endswith(".current") or "." in size:
            continue
        prefix = f"{directory}/hugetlb.{size}"
        usage = fs.read_int(f"{prefix}.current")
        found[size] = {
            "usage": usage,
            "max_usage": usage,
            "failcnt": fs.read_table(f"{prefix}.events").get("max", 0),
        }
    return found
