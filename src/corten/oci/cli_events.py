"""``events``: a container's statistics and its OOM kills, as lines of JSON."""

from __future__ import annotations

import posix
import select

from corten.cgroups.v1 import V1Cgroup
from corten.errors import FailedPrecondition, InvalidArgument
from corten.kernel.paths import fsencode
from corten.oci.cli_common import one_id
from corten.oci.cliargs import SWITCH, VALUE, parse
from corten.oci.records import Record
from corten.spec import jsonlite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.cgroups.base import Cgroup
    from corten.oci.cli import Settings

EVENTS = {"interval": VALUE, "stats": SWITCH, "help": SWITCH}
# what Go prints for "no limit" in an unsigned number
_UNLIMITED = 0xFFFFFFFFFFFFFFFF
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def events(settings: Settings, argv: list[str]) -> int:
    """Print statistics once (``--stats``), or at an interval and OOM kills as they happen,
    until the container ends."""
    args = parse(argv, EVENTS, short={"h": "help"})
    interval = duration(args.text("interval", "5s"))
    if interval <= 0:
        raise InvalidArgument("duration interval must be greater than 0")
    record = Record.find(settings.root, one_id(args, "events"))
    cgroup = record.cgroup()
    if record.status() == "stopped" or cgroup is None:
        raise FailedPrecondition(f"container with id {record.id} is not running")
    if args.switch("stats"):
        _print("stats", record.id, statistics(cgroup))
        return 0
    pidfd = record.alive("watch it")
    try:
        _watch(record.id, cgroup, pidfd, interval)
    finally:
        posix.close(pidfd)
    return 0


def _watch(name: str, cgroup: Cgroup, pidfd: int, interval: float) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    oom = cgroup.oom_fd()
    if oom >= 0:
        poll.register(oom, select.POLLIN | select.POLLPRI)
    kills = cgroup.oom_kill_count()
    while True:
        ready = [fd for fd, _ in poll.poll(interval * 1000)]
        now = cgroup.oom_kill_count()
        for _ in range(kills, now):
            _print("oom", name)
        kills = now
        if pidfd in ready:
            break
        if oom in ready:
            _drain(oom)
        if not ready:
            _print("stats", name, statistics(cgroup))
    if oom >= 0:
        posix.close(oom)


def _drain(fd: int) -> None:
    try:
        posix.read(fd, 4096)
    except OSError:
        pass  # nothing to read


def _print(kind: str, name: str, data: dict[str, Any] | None = None) -> None:
    event: dict[str, Any] = {"type": kind, "id": name}
    if data is not None:
        event["data"] = data
    view = memoryview(fsencode(jsonlite.dumps(event) + "\n"))
    while view:
        view = view[posix.write(1, view) :]


def duration(text: str) -> float:
    """Seconds from Go's form: ``5s``, ``1m30s``, ``1.5h``, ``100ms``.

    Raises:
        InvalidArgument: something else.
    """
    total, rest = 0.0, text
    while rest:
        figure = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(figure) :]
        unit = next((u for u in ("ns", "us", "µs", "ms", "s", "m", "h") if rest.startswith(u)), "")
        if not unit or not figure.replace(".", "", 1).isdigit():
            raise InvalidArgument(f"invalid duration {text!r}")
        total += float(figure) * _SECONDS[unit]
        rest = rest[len(unit) :]
    return total


def statistics(cgroup: Cgroup) -> dict[str, Any]:
    """The counters in the form that containerd and others read from ``runc events``."""
    stats = cgroup.stats()
    cpu, pids = stats.get("cpu") or {}, stats.get("pids") or {}
    more = cgroup.details() if isinstance(cgroup, V1Cgroup) else {}
    apart = {
        key: more[name]
        for key, name in (
            ("percpu_kernel", "per_cpu_system_ns"),
            ("percpu_user", "per_cpu_user_ns"),
        )
        if more.get(name)
    }
    io, huge = stats.get("io") or {}, stats.get("hugetlb") or {}
    return {
        "cpu": {
            "usage": {
                "total": cpu.get("usage_ns", 0),
                "percpu": cpu.get("per_cpu_ns", []),
                **apart,
                "kernel": cpu.get("system_ns", 0),
                "user": cpu.get("user_ns", 0),
            },
            "throttling": {
                "periods": cpu.get("periods", 0),
                "throttledPeriods": cpu.get("throttled_periods", 0),
                "throttledTime": cpu.get("throttled_ns", 0),
            },
        },
        "cpuset": more.get("cpuset", {}),
        "memory": _memory(stats.get("memory") or {}, more.get("kernel", {})),
        "pids": {"current": pids.get("current", 0), "limit": max(pids.get("limit", 0), 0)},
        "blkio": {
            "ioServiceBytesRecursive": io.get("bytes", []),
            "ioServicedRecursive": io.get("operations", []),
        },
        "hugetlb": {
            size: {
                "usage": values.get("usage", 0),
                "max": values.get("max_usage", 0),
                "failcnt": values.get("failcnt", 0),
            }
            for size, values in huge.items()
        },
        "intel_rdt": {},
        "network_interfaces": None,
    }


def _memory(memory: dict[str, Any], kernel: dict[str, int]) -> dict[str, Any]:
    raw = memory.get("stat") or {}
    usage = memory.get("usage", 0)
    return {
        "cache": raw.get("cache", raw.get("file", 0)),
        "usage": {
            "limit": _limit(memory.get("limit", -1)),
            "usage": usage,
            "max": memory.get("max_usage", 0),
            "failcnt": memory.get("failcnt", 0),
        },
        # memory and swap together, as the limit counts them
        "swap": {
            "limit": _limit(memory.get("swap_limit", -1)),
            "usage": usage + memory.get("swap_usage", 0),
            "failcnt": 0,
        },
        "kernel": {"limit": _UNLIMITED, **kernel, "failcnt": 0},
        "kernelTCP": {"limit": _UNLIMITED, "failcnt": 0},
        "raw": raw,
    }


def _limit(value: int) -> int:
    return value if value >= 0 else _UNLIMITED
