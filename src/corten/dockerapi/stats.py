"""``GET /containers/{id}/stats``: once, or a line each second."""

from __future__ import annotations

import asyncio
import json as text
from typing import Any

from aiohttp import web

from corten.dockerapi.call import TENANT, Call, json
from corten.dockerapi.times import ZERO, rfc3339
from corten.engine.types import Stats
from corten.errors import NotFound

_INTERVAL = 1.0  # seconds
_IO = ("bytes", "operations")


async def stats(call: Call) -> web.StreamResponse:
    """With two samples, from which a client can tell how busy it is, unless ``one-shot``."""
    ref = call.params["id"]
    last = await call.engine.container_stats(TENANT, ref)
    if not call.flag("stream", True):
        if call.flag("one-shot") or not last.counters:
            return json(document(last, None))
        await asyncio.sleep(_INTERVAL)
        return json(document(await call.engine.container_stats(TENANT, ref), last))
    response = await call.stream("application/json")
    before: Stats | None = None
    while True:
        line = text.dumps(document(last, before)) + "\n"
        await response.write(line.encode())
        await asyncio.sleep(_INTERVAL)
        before = last
        try:
            last = await call.engine.container_stats(TENANT, last.id)
        except NotFound:  # it was removed
            return response


def document(now: Stats, before: Stats | None) -> dict[str, Any]:
    """``StatsJSON``. No I/O."""
    found: dict[str, Any] = {
        "read": rfc3339(now.read_at) if now.counters else ZERO,
        "preread": rfc3339(before.read_at) if before else ZERO,
        "pids_stats": _pids(now.counters.get("pids") or {}),
        "blkio_stats": _blkio(now.counters.get("io")),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(now),
        "precpu_stats": _cpu(before),
        "memory_stats": _memory(now),
        "name": f"/{now.name}",
        "id": now.id,
    }
    if now.networks:
        found["networks"] = now.networks
    return found


def _pids(counters: dict[str, int]) -> dict[str, int]:
    limit = counters.get("limit", -1)
    found = {"current": counters["current"]} if "current" in counters else {}
    return found | ({"limit": limit} if limit > 0 else {})


def _blkio(counters: dict[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(
        (
            "io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive",
            "io_service_time_recursive", "io_wait_time_recursive", "io_merged_recursive",
            "io_time_recursive", "sectors_recursive",
        )
    )  # fmt: skip
    for kind, name in zip(
        _IO, ("io_service_bytes_recursive", "io_serviced_recursive"), strict=True
    ):
        entries = (counters or {}).get(kind)
        if entries:
            found[name] = [{**entry, "op": entry["op"].lower()} for entry in entries]
    return found


def _cpu(stats: Stats | None) -> dict[str, Any]:
    counters = (stats.counters.get("cpu") if stats else None) or {}
    usage: dict[str, Any] = {
        "total_usage": counters.get("usage_ns", 0),
        "usage_in_kernelmode": counters.get("system_ns", 0),
        "usage_in_usermode": counters.get("user_ns", 0),
    }
    if counters.get("per_cpu_ns"):
        usage["percpu_usage"] = counters["per_cpu_ns"]
    found: dict[str, Any] = {
        "cpu_usage": usage,
        "throttling_data": {
            "periods": counters.get("periods", 0),
            "throttled_periods": counters.get("throttled_periods", 0),
            "throttled_time": counters.get("throttled_ns", 0),
        },
    }
    if stats is not None and counters:
        found |= {"system_cpu_usage": stats.system_ns, "online_cpus": stats.cpus}
    return found


def _memory(stats: Stats) -> dict[str, Any]:
    counters = stats.counters.get("memory")
    if not counters:
        return {}
    limit = counters.get("limit", -1)
    found = {
        "usage": counters.get("usage", 0),
        "max_usage": counters.get("max_usage", 0),
        "stats": counters.get("stat", {}),
        "limit": limit if 0 < limit < stats.host_memory else stats.host_memory,
    }
    return found | ({"failcnt": counters["failcnt"]} if counters.get("failcnt") else {})
