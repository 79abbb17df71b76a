"""Pods after a restart of the daemon."""

from __future__ import annotations

import contextlib
import logging

import msgspec

from corten.engine.door import Tx
from corten.engine.monitors import Monitor, until_connected
from corten.engine.parts import Parts
from corten.engine.podding import Pods
from corten.engine.tables import Intent, get_pod
from corten.engine.types import Pod
from corten.errors import CortenError, NotFound

_log = logging.getLogger(__name__)


class PodRecovery:
    """Finds pods' monitors again and finishes what was begun with pods."""

    def __init__(self, parts: Parts, pods: Pods) -> None:
        self._parts = parts
        self._pods = pods

    async def reconnect(self, pods: list[Pod]) -> None:
        """Those that are ready and whose monitor lives stay ready."""
        for pod in pods:
            if not pod.ready:
                continue
            try:
                await self._one(pod)
            except CortenError as error:
                _log.error("recovery of pod %s: %s", pod.id[:12], error)

    async def _one(self, pod: Pod) -> None:
        parts = self._parts
        if pod.boot_id == parts.boot_id:
            monitor = Monitor(pod.id, parts.settings.pod_dir(pod.id), parts.sink)
            with contextlib.suppress(NotFound):
                await monitor.reconnect()
                parts.pod_monitors[pod.id] = monitor
                self._pods.watch(pod, monitor)
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

    async def _find_monitor(self, pod: Pod) -> None:
        """The monitor of a pod that was being made: only a known one can be ended."""
        monitor = Monitor(pod.id, self._parts.settings.pod_dir(pod.id), self._parts.sink)
        with contextlib.suppress(NotFound):
            await until_connected(monitor)
            self._parts.pod_monitors[pod.id] = monitor
