"""Pods after a restart of the daemon."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from corten.engine.door import Tx
from corten.engine.monitors import Monitor, until_connected
from corten.engine.parts import Parts
from corten.engine.podding import Pods
from corten.engine.tables import Intent, get_pod
from corten.engine.types import Pod
from corten.errors import CortenError, NotFound
from corten.launch import client
from corten.launch.messages import MonitorState

_log = logging.getLogger(__name__)
_PATIENCE = 2.0  # seconds for the monitors to answer, before the daemon serves without them


class PodRecovery:
    """Finds pods' monitors again and finishes what was begun with pods."""

    def __init__(self, parts: Parts, pods: Pods) -> None:
        self._parts = parts
        self._pods = pods

    async def reconnect(self, pods: list[Pod]) -> None:
        """Those that are ready and whose monitor lives stay ready."""
        # All at once: one that hangs holds up nothing but itself.
        await asyncio.gather(*(self._guarded(pod) for pod in pods if pod.ready))

    async def _guarded(self, pod: Pod) -> None:
        try:
            await self._one(pod)
        except CortenError as error:
            _log.error("recovery of pod %s: %s", pod.id[:12], error)

    async def _one(self, pod: Pod) -> None:
        parts = self._parts
        if pod.boot_id == parts.boot_id:
            if await self._find_monitor(pod):
                self._pods.watch(pod, parts.pod_monitors[pod.id])
                return
            reason = "monitor-lost"
        else:
            reason = "reboot"

        def step(tx: Tx) -> None:
            now = tx.pod(pod.id)
            tx.put_pod(msgspec.structs.replace(now, ready=False, reason=reason, pid=0))
            tx.event("pod", "die", pod.id, pod.tenant, reason=reason)

        await parts.door.commit(step)
        await self._pods.take_down(pod)

    async def finish(self, intent: Intent) -> None:
        """A run is undone (the kubelet tries again), a stop or a removal finished."""
        found = self._parts.db.read(lambda c: get_pod(c, intent.object_id))
        if found is None:
            return
        pod, ready = found
        if intent.kind == "pod-run" and not ready:
            await self._find_monitor(pod)
            await self._pods.take_down(pod)
            await self._parts.door.commit(lambda tx: tx.drop_pod(pod.id), durable=True)
        elif intent.kind == "pod-stop":
            await self._pods.finish_stop(pod)
        elif intent.kind == "pod-remove":
            await self._pods.finish_remove(pod)

    async def _find_monitor(self, pod: Pod) -> bool:
        """Reconnect to the pod's monitor, or adopt one that hangs; False: it has ended."""
        parts, run_dir = self._parts, self._parts.settings.pod_dir(pod.id)
        monitor = Monitor(pod.id, run_dir, parts.sink)
        connecting = asyncio.ensure_future(until_connected(monitor))
        done, _ = await asyncio.wait((connecting,), timeout=_PATIENCE)
        error = connecting.exception() if done else None
        if isinstance(error, NotFound):
            return False
        if error is not None:
            raise error
        parts.pod_monitors[pod.id] = monitor
        if not done:
            _log.error("the monitor of pod %s does not answer", pod.id[:12])
            written = client.read_state(run_dir)
            if written is not None:
                monitor.adopt(written)
            parts.operations.watch(_found_late(monitor, connecting), f"reconnect-{pod.id[:12]}")
        return True


async def _found_late(monitor: Monitor, connecting: asyncio.Future[MonitorState]) -> None:
    try:
        await connecting
    except NotFound:
        monitor.lost()
