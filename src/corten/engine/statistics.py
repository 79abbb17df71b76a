"""What a container uses, read from its cgroup and from ``/proc``: no monitor is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corten.engine import states
from corten.engine.boot import wall_ns
from corten.engine.parts import Parts
from corten.engine.types import Container, Stats, Tenant
from corten.launch import groups

_DEADLINE = 10.0  # seconds
_TICK_NS = 10_000_000  # USER_HZ is 100 on every architecture we run on
_TIMES = 7  # user to softirq in the first line of /proc/stat: all of the processors' time
# columns of /proc/net/dev behind the name
_COLUMNS = {
    "rx_bytes": 0, "rx_packets": 1, "rx_errors": 2, "rx_dropped": 3,
    "tx_bytes": 8, "tx_packets": 9, "tx_errors": 10, "tx_dropped": 11,
}  # fmt: skip


async def container_stats(parts: Parts, tenant: Tenant, ref: str) -> Stats:
    """See ``contract.Engine.container_stats``."""
    record = parts.view.container(tenant, ref)
    counters: dict[str, Any] = {}
    networks: dict[str, dict[str, int]] = {}
    if states.has_process(record):
        run_dir = parts.settings.run_dir(record.id)
        own = record.config.namespaces.network != "host"
        counters, networks = await parts.groups.run(
            _read, run_dir, record.state.pid if own else 0, deadline=_DEADLINE
        )
    return _stats(parts, record, counters, networks)


def _stats(
    parts: Parts, record: Container, counters: dict[str, Any], networks: dict[str, dict[str, int]]
) -> Stats:
    return Stats(
        id=record.id,
        name=record.name,
        read_at=wall_ns(),
        system_ns=_system_time(),
        cpus=parts.host.cpus,
        host_memory=parts.host.memory,
        counters=counters,
        networks=networks,
    )


def _read(run_dir: str, pid: int) -> tuple[dict[str, Any], dict[str, dict[str, int]]]:
    return groups.run_stats(run_dir), interfaces(pid) if pid else {}


def _system_time() -> int:
    first = Path("/proc/stat").read_text().partition("\n")[0]
    return sum(int(word) for word in first.split()[1 : 1 + _TIMES]) * _TICK_NS


def interfaces(pid: int) -> dict[str, dict[str, int]]:
    """Counters of the interfaces in a process's network namespace, without the loopback."""
    try:
        lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    except OSError:  # it has ended
        return {}
    found = {}
    for line in lines:
        name, _, rest = line.partition(":")
        words = rest.split()
        if name.strip() != "lo":
            found[name.strip()] = {key: int(words[i]) for key, i in _COLUMNS.items()}
    return found
