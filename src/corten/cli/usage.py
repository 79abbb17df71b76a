"""Lines of ``stats``: what a container uses, from two samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corten.cli import human

Sample = Mapping[str, Any]

TABLE = (
    "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}"
    "\t{{.PIDs}}"
)
HEADERS = {
    "ID": "CONTAINER ID", "Container": "CONTAINER", "Name": "NAME", "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT", "MemPerc": "MEM %", "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O", "PIDs": "PIDS",
}  # fmt: skip


def row(now: Sample, before: Sample | None, *, full: bool) -> dict[str, str]:
    """One line; ``before`` is what the processors' share is counted from."""
    counters = now.get("counters", {})
    memory, limit = memory_of(now)
    networks = now.get("networks", {}).values()
    received = sum(one["rx_bytes"] for one in networks)
    sent = sum(one["tx_bytes"] for one in networks)
    read, written = (human.size(disk(counters, word)) for word in ("Read", "Write"))
    ident = now["id"] if full else now["id"][:12]
    return {
        "ID": ident,
        "Container": ident,
        "Name": now["name"],
        "CPUPerc": f"{cpu(now, before):.2f}%",
        "MemUsage": f"{human.binary_size(memory)} / {human.binary_size(limit)}",
        "MemPerc": f"{100 * memory / limit if limit else 0:.2f}%",
        "NetIO": f"{human.size(received)} / {human.size(sent)}",
        "BlockIO": f"{read} / {written}",
        "PIDs": str(counters.get("pids", {}).get("current", 0)),
    }


def cpu(now: Sample, before: Sample | None) -> float:
    """Per cent of one processor, since the sample before."""
    if before is None:
        return 0.0
    used = _processor(now) - _processor(before)
    passed = now["system_ns"] - before["system_ns"]
    return 100.0 * now["cpus"] * used / passed if used > 0 and passed > 0 else 0.0


def memory_of(sample: Sample) -> tuple[int, int]:
    """Bytes without the cache that the kernel may drop, and the limit."""
    counters = sample.get("counters", {}).get("memory")
    if not counters:
        return 0, 0
    usage, cache = counters.get("usage", 0), counters.get("inactive_file", 0)
    limit = counters.get("limit", -1)
    total = sample["host_memory"]
    return max(0, usage - cache), limit if 0 < limit < total else total


def _processor(sample: Sample) -> int:
    return int(sample.get("counters", {}).get("cpu", {}).get("usage_ns", 0))


def disk(counters: Sample, operation: str) -> int:
    """Bytes that were read (``Read``) or written (``Write``) so far."""
    entries = counters.get("io", {}).get("bytes", ())
    return sum(entry["value"] for entry in entries if entry["op"] == operation)
