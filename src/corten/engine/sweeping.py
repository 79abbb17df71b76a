"""What lies in our directories and is on no record: left by a crash or a power failure."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os

from corten.engine.monitors import Monitor
from corten.engine.operations import logged
from corten.engine.parts import Parts
from corten.engine.trees import remove_tree
from corten.engine.volumes import files
from corten.errors import NotFound
from corten.launch import client, orphan

_log = logging.getLogger(__name__)
_SLOW = 120.0
_PATIENCE = 5.0  # seconds


class Sweeper:
    """Removes it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def run(self, containers: set[str], pods: set[str]) -> None:
        """
        Arguments:
            containers, pods: the ids that were on record when the daemon started.
        """
        settings = self._parts.settings
        containers = containers | set(self._parts.view.containers)
        await self._monitors(f"{settings.state}/run", set(self._parts.runs))
        await self._monitors(f"{settings.state}/pods", set(self._parts.pod_monitors))
        await self._directories(f"{settings.state}/podfiles", pods)
        await self._volumes()
        await self._directories(f"{settings.root}/containers", containers)
        for key in self._parts.snapshots.keys():  # noqa: SIM118 a method of the protocol
            if key not in containers:
                await self._parts.snapshots.remove(key)

    async def _monitors(self, base: str, known: set[str]) -> None:
        ends = [
            self._parts.operations.background(
                logged(self._end(name, f"{base}/{name}"), f"left over: {base}/{name}"),
                f"sweep-{name[:12]}",
            )
            for name in _names(base)
            if name not in known
        ]
        if ends:  # a monitor that hangs must not hold up the daemon's start
            await asyncio.wait(ends, timeout=_PATIENCE)

    async def _end(self, object_id: str, run_dir: str) -> None:
        if client.is_locked(run_dir):
            monitor = Monitor(object_id, run_dir, self._parts.sink)
            with contextlib.suppress(NotFound):
                await monitor.reconnect()
                await monitor.delete()
                await monitor.ended.wait()
            monitor.close()
        if os.path.exists(f"{run_dir}/state.json"):
            await self._parts.groups.run(orphan.bury, run_dir, deadline=_SLOW)
        await self._parts.files.run(remove_tree, run_dir, deadline=_SLOW)

    async def _volumes(self) -> None:
        """Copies that a crash interrupted. A directory without a record stays: only the one who
        has lost the record may know what it is worth."""
        known = {f"{one.tenant}/{one.name}" for one in self._parts.view.volumes.values()}
        base = self._parts.settings.volumes
        for tenant in _names(base):
            for name in _names(f"{base}/{tenant}"):
                path = f"{base}/{tenant}/{name}"
                if f"{tenant}/{name}" in known:
                    run = self._parts.files.run(files.finish_filling, path, deadline=_SLOW)
                    await run
                else:
                    _log.warning("a volume's directory is on no record: %s", path)

    async def _directories(self, base: str, known: set[str]) -> None:
        for name in _names(base):
            if name not in known:
                await self._parts.files.run(remove_tree, f"{base}/{name}", deadline=_SLOW)


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
