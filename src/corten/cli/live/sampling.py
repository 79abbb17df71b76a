"""What runs, and what it uses: asked of the daemon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corten.cli import usage, views
from corten.cli.live.model import Row
from corten.client import Client
from corten.errors import NotFound

_LIVE = ("running", "paused")
_TAIL = 500  # lines of a log


class Sampler:
    """Looks again and again; shares of the processors are counted between two looks."""

    def __init__(self) -> None:
        self._before: dict[str, Mapping[str, Any]] = {}

    def look(self, client: Client) -> list[Row]:
        """One row per container, running or not."""
        found: dict[str, Mapping[str, Any]] = {}
        rows = []
        for one in client.containers.list():
            sample: Mapping[str, Any] = {}
            if one.status in _LIVE:
                try:
                    sample = found[one.id] = one.stats()
                except NotFound:  # it was removed meanwhile
                    continue
            rows.append(row(one.attrs, sample, self._before.get(one.id)))
        self._before = found
        return rows


def row(record: dict[str, Any], sample: Mapping[str, Any], before: Mapping[str, Any] | None) -> Row:
    """One container's row. No I/O."""
    networks = sample.get("networks", {}).values()
    counters = sample.get("counters", {})
    memory, limit = usage.memory_of(sample) if sample else (0, 0)
    return Row(
        id=record["id"],
        name=record["name"],
        image=record["config"]["image"],
        status=views.status(record),
        running=bool(sample),
        cpu=usage.cpu(sample, before) if sample else 0.0,
        memory=memory,
        limit=limit,
        received=sum(one["rx_bytes"] for one in networks),
        sent=sum(one["tx_bytes"] for one in networks),
        read=usage.disk(counters, "Read"),
        written=usage.disk(counters, "Write"),
        pids=counters.get("pids", {}).get("current", 0),
    )


def log_lines(client: Client, container_id: str, count: int) -> list[str]:
    """The last lines that a container wrote."""
    text = b"".join(
        line.data for line in client.containers.get(container_id).logs(tail=min(count, _TAIL))
    )
    return text.decode("utf-8", "replace").replace("\r", "\n").splitlines()
