"""Pods: namespaces that a monitor holds, a network, and the containers within."""

from __future__ import annotations

import contextlib
import os
from contextlib import ExitStack

import msgspec

from corten.engine import etcfiles, ids
from corten.engine.boot import wall_ns
from corten.engine.door import Tx
from corten.engine.monitors import Monitor
from corten.engine.operations import both, logged
from corten.engine.parts import Parts
from corten.engine.removing import Remover
from corten.engine.stopping import Signaller
from corten.engine.tables import pod_key
from corten.engine.trees import fresh_directory, remove_tree
from corten.engine.types import ContainerConfig, Pod, PodConfig, Tenant
from corten.errors import AlreadyExists, NotFound
from corten.launch import orphan
from corten.launch.messages import CreatePod, PodCreated, read
from corten.networks.types import PodDns, PodPort

_replace = msgspec.structs.replace
_FILES = 30.0
_BURY = 60.0


class Pods:
    """Runs, stops and removes pods."""

    def __init__(self, parts: Parts, signaller: Signaller, remover: Remover) -> None:
        self._parts = parts
        self._signaller = signaller
        self._remover = remover

    # running ---------------------------------------------------------------------------

    async def run(self, tenant: Tenant, config: PodConfig) -> Pod:
        """See ``contract.Engine.run_pod``."""
        key = ("run-pod", tenant, pod_key(config))
        return await self._parts.operations.run(key, lambda: self._run(tenant, config))

    async def _run(self, tenant: Tenant, config: PodConfig) -> Pod:
        parts = self._parts
        earlier = parts.view.pod_by_key(tenant, config)
        if earlier is not None:
            if earlier.ready:
                return earlier
            raise AlreadyExists(f"pod {earlier.id} exists and is stopped")
        pod = Pod(
            id=ids.new_id(parts.view.pods),
            tenant=tenant,
            config=config,
            created_at=wall_ns(),
            boot_id=parts.boot_id,
        )
        async with parts.locks.hold(("pod", pod.id)):
            intent = await parts.door.commit(lambda tx: _reserve(tx, pod), durable=True)
            try:
                made = await self._bring_up(pod)
            except BaseException:
                await logged(self.take_down(pod), f"pod {pod.id[:12]}")
                what = f"undo of pod {pod.id[:12]}"
                await parts.operations.insist_apart(lambda: self.drop(pod.id), what)
                raise

            def step(tx: Tx) -> Pod:
                tx.put_pod(made)
                tx.end(intent)
                tx.event("pod", "start", made.id, tenant, name=config.name)
                return made

            ready = await parts.door.commit(step)
            # Not before: a monitor that has ended already must find the pod on record.
            self.watch(pod, parts.pod_monitors[pod.id])
            return ready

    async def drop(self, pod_id: str) -> None:
        """Forget a pod."""
        await self._parts.door.commit(lambda tx: tx.drop_pod(pod_id), durable=True)

    async def _bring_up(self, pod: Pod) -> Pod:
        parts, config = self._parts, pod.config
        await parts.files.run(self._make_files, pod, deadline=_FILES)
        with ExitStack() as held:
            fds: dict[str, int] = {}
            if not config.host_network:
                space = await parts.netns.take()
                held.callback(space.close)
                fds["ns.network"] = space.fd
                # The plugins and the monitor don't wait for each other.
                pod, pid = await both(self._add_network(pod, space.fd), self._launch(pod, fds))
            else:
                pid = await self._launch(pod, fds)
        return _replace(pod, ready=True, pid=pid)

    async def _add_network(self, pod: Pod, netns_fd: int) -> Pod:
        config = pod.config
        network = await self._parts.networks.add_pod(
            pod.id,
            netns_fd=netns_fd,
            name=config.name,
            namespace=config.namespace,
            uid=config.uid,
            ports=[
                PodPort(
                    container_port=port.container_port,
                    host_port=port.host_port,
                    protocol=port.protocol,
                    host_ip=port.host_ip,
                )
                for port in config.ports
                if port.host_port
            ],
            annotations=config.annotations,
            dns=PodDns(
                servers=config.dns_servers,
                searches=config.dns_searches,
                options=config.dns_options,
            ),
            cgroup_path=config.cgroup_parent,
        )
        return _replace(
            pod, netns_path=network.netns_path, ips=network.ips, cni_result=network.result
        )

    async def _launch(self, pod: Pod, fds: dict[str, int]) -> int:
        """Fork the monitor; returns the reaper's pid."""
        parts, config = self._parts, pod.config
        run_dir = parts.settings.pod_dir(pod.id)
        await parts.files.run(fresh_directory, run_dir, deadline=_FILES)
        own = []
        if not config.host_ipc:
            own.append("ipc")
        if not config.host_network:
            own.append("uts")
        if config.share_pid and not config.host_pid:
            own.append("pid")
        cgroup = parts.settings.container_cgroup(pod.id, config.cgroup_parent)
        monitor = Monitor(pod.id, run_dir, parts.sink)
        parts.pod_monitors[pod.id] = monitor
        reply = await monitor.launch(
            parts.launcher,
            CreatePod(
                id=pod.id,
                tenant=pod.tenant,
                run_dir=run_dir,
                namespaces=tuple(own),
                hostname=config.hostname if "uts" in own else "",
                sysctls=config.sysctls,
                cgroup=cgroup if "pid" in own else "",
                monitor_cgroup=parts.settings.pod_monitors_cgroup(pod.id, config.cgroup_parent),
            ),
            fds,
        )
        reply.close_fds()
        return read(PodCreated, reply.result()).pid

    def _make_files(self, pod: Pod) -> None:
        """Blocking; hosts, hostname, resolv.conf and the shared /dev/shm."""
        directory, config = self._parts.settings.pod_files(pod.id), pod.config
        os.makedirs(directory, mode=0o711, exist_ok=True)
        shm = f"{directory}/shm"
        os.makedirs(shm, exist_ok=True)
        os.chmod(shm, 0o1777)  # noqa: S103 that is what /dev/shm is
        etcfiles.write(
            etcfiles.paths(directory),
            ContainerConfig(
                image="",
                dns=config.dns_servers,
                dns_search=config.dns_searches,
                dns_options=config.dns_options,
            ),
            hostname=config.hostname or self._parts.host.hostname,
            own_network=not config.host_network,
        )

    # a monitor's end -------------------------------------------------------------------

    def watch(self, pod: Pod, monitor: Monitor) -> None:
        """From now on the end of the pod's monitor is noticed."""
        self._parts.operations.watch(self._watch(pod, monitor), f"watch-pod-{pod.id[:12]}")

    async def _watch(self, pod: Pod, monitor: Monitor) -> None:
        await monitor.ended.wait()
        parts = self._parts
        if parts.pod_monitors.get(pod.id) is not monitor:
            return  # stopped on purpose
        del parts.pod_monitors[pod.id]
        monitor.close()

        def step(tx: Tx) -> None:
            now = tx.pod(pod.id)
            if now.ready:
                tx.put_pod(_replace(now, ready=False, reason="monitor-lost", pid=0))
                tx.event("pod", "die", pod.id, pod.tenant, reason="monitor-lost")

        with contextlib.suppress(NotFound):
            await parts.door.commit(step)
        await parts.groups.run(orphan.bury, monitor.run_dir, deadline=_BURY)

    # stopping --------------------------------------------------------------------------

    async def stop(self, tenant: Tenant, pod_id: str) -> None:
        """See ``contract.Engine.stop_pod``; one that is stopped or gone is no error."""
        try:
            pod = self._parts.view.pod(tenant, pod_id)
        except NotFound:
            return
        await self._parts.operations.run(("stop-pod", pod.id), lambda: self._stop(pod))

    async def _stop(self, pod: Pod) -> None:
        parts = self._parts
        async with parts.locks.hold(("pod", pod.id)):
            intent = await parts.door.commit(
                lambda tx: tx.begin("pod-stop", "pod", pod.id, pod.tenant)
            )
            await self.finish_stop(pod)

            def step(tx: Tx) -> None:
                tx.end(intent)

            await parts.door.commit(step)

    async def finish_stop(self, pod: Pod) -> None:
        """Kill the containers, take the network, end the monitor; idempotent."""
        for record in self._parts.view.containers_of(pod.id):
            # The kubelet has stopped them in order before; what is left gets no time.
            await self._signaller.finish_stop(record.id, 9, 0)
        await self.take_down(pod)

        def step(tx: Tx) -> None:
            now = tx.pod(pod.id)
            if now.ready:
                tx.put_pod(_replace(now, ready=False, pid=0))
                tx.event("pod", "stop", pod.id, pod.tenant, name=pod.config.name)

        await self._parts.door.commit(step)

    async def take_down(self, pod: Pod) -> None:
        """Give back network, monitor, files; idempotent."""
        parts = self._parts
        monitor = parts.pod_monitors.pop(pod.id, None)
        await parts.networks.remove_pod(pod.id)
        if monitor is not None:
            monitor.never_made()
            await monitor.delete()
            await monitor.ended.wait()
            monitor.close()
        run_dir = parts.settings.pod_dir(pod.id)
        if os.path.exists(f"{run_dir}/state.json"):
            await parts.groups.run(orphan.bury, run_dir, deadline=_BURY)
        await parts.files.run(remove_tree, run_dir, deadline=_FILES)
        await parts.files.run(remove_tree, parts.settings.pod_files(pod.id), deadline=_FILES)

    # removing --------------------------------------------------------------------------

    async def remove(self, tenant: Tenant, pod_id: str) -> None:
        """See ``contract.Engine.remove_pod``; one that is gone is no error."""
        try:
            pod = self._parts.view.pod(tenant, pod_id)
        except NotFound:
            return
        await self._parts.operations.run(("remove-pod", pod.id), lambda: self._remove(pod))

    async def _remove(self, pod: Pod) -> None:
        parts = self._parts
        async with parts.locks.hold(("pod", pod.id)):
            await parts.door.commit(
                lambda tx: tx.begin("pod-remove", "pod", pod.id, pod.tenant), durable=True
            )
            await self.finish_remove(pod)

    async def finish_remove(self, pod: Pod) -> None:
        """The rest of a removal whose intent is written; idempotent."""
        await self.finish_stop(pod)
        for record in self._parts.view.containers_of(pod.id):
            await self._remover.remove(pod.tenant, record.id, force=True)

        def step(tx: Tx) -> None:
            tx.drop_pod(pod.id)
            tx.event("pod", "destroy", pod.id, pod.tenant, name=pod.config.name)

        await self._parts.door.commit(step)


def _reserve(tx: Tx, pod: Pod) -> int:
    tx.put_pod(pod, ready=False)
    return tx.begin("pod-run", "pod", pod.id, pod.tenant)
