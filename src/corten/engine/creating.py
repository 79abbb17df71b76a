"""Making a container: its record, its name, its writable layer. Nothing runs yet."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from corten.engine import ids, logconfig, specgen
from corten.engine.boot import wall_ns
from corten.engine.door import Tx
from corten.engine.etcfiles import paths as etc_paths
from corten.engine.library import Library
from corten.engine.parts import Parts
from corten.engine.specgen.build import Surroundings, validate
from corten.engine.specgen.devices import HostDevice
from corten.engine.specgen.signals import signal_number
from corten.engine.trees import remove_tree
from corten.engine.types import Container, ContainerConfig, Namespaces, Pod, Tenant
from corten.errors import (
    AlreadyExists,
    CortenError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)

_PREPARE = 60.0  # seconds for the directories, on a disk that is under load


class Creator:
    """``create_container``."""

    def __init__(self, parts: Parts, library: Library) -> None:
        self._library = library
        self._parts = parts

    async def create(
        self,
        tenant: Tenant,
        config: ContainerConfig,
        *,
        name: str,
        pod_id: str,
        attempt: int,
        origin: dict[str, Any] | None,
    ) -> Container:
        """See ``contract.Engine.create_container``."""
        if name:
            ids.check_name(name)
        key = ("create", tenant, ids.new_id())  # never joined: a second one is another one
        return await self._parts.operations.run(
            key,
            lambda: self._create(
                tenant, config, name=name, pod_id=pod_id, attempt=attempt, origin=origin or {}
            ),
        )

    async def _create(
        self,
        tenant: Tenant,
        config: ContainerConfig,
        *,
        name: str,
        pod_id: str,
        attempt: int,
        origin: dict[str, Any],
    ) -> Container:
        parts = self._parts
        pod = parts.view.pod(tenant, pod_id) if pod_id else None
        image = self._library.find(tenant, config.image)
        merged = specgen.merge_image(config, image.config, labels=tenant == "docker")
        if pod is not None:
            merged = _in_pod(merged, pod)
        record = self._record(tenant, merged, image.id, pod, attempt, origin)
        self._check(record)
        # The lock keeps the image from being removed before the record names it.
        async with parts.locks.hold(("image", image.id)):
            self._library.find(tenant, image.id)
            durable = not config.auto_remove
            record, intent = await self._reserved(record, name, durable)
        return await self._prepare(record, intent, image.chain_id)

    async def _reserved(self, record: Container, name: str, durable: bool) -> tuple[Container, int]:
        def step(tx: Tx) -> tuple[Container, int]:
            return _reserve(tx, record, name)

        try:
            return await self._parts.door.commit(step, durable=durable)
        except AlreadyExists:
            # Perhaps by one that could not be taken back before, for lack of space.
            if not await self._parts.operations.hurry():
                raise
        return await self._parts.door.commit(step, durable=durable)

    async def _prepare(self, record: Container, intent: int, chain_id: str) -> Container:
        parts = self._parts
        directory = parts.settings.container_dir(record.id)
        try:
            await parts.snapshots.prepare(record.id, chain_id)
            await parts.files.run(_make_directory, directory, deadline=_PREPARE)
            return await parts.door.commit(lambda tx: _finish(tx, record, intent))
        except CortenError:
            what = f"undo of {record.id[:12]}"
            await parts.operations.insist_apart(lambda: self.undo(record.id), what)
            raise

    async def finish(self, record: Container, intent: int) -> None:
        """After a crash: make what is missing, or undo it where that can't be done."""
        try:
            image = self._library.find(record.tenant, record.image_id)
        except NotFound:
            await self.undo(record.id)
        else:
            await self._prepare(record, intent, image.chain_id)

    async def undo(self, container_id: str) -> None:
        """Take back whatever a create has made."""
        parts = self._parts
        await parts.snapshots.remove(container_id)
        directory = parts.settings.container_dir(container_id)
        await parts.files.run(remove_tree, directory, deadline=_PREPARE)
        await parts.door.commit(lambda tx: tx.drop_container(container_id), durable=True)

    def _record(
        self,
        tenant: Tenant,
        config: ContainerConfig,
        image_id: str,
        pod: Pod | None,
        attempt: int,
        origin: dict[str, Any],
    ) -> Container:
        parts = self._parts
        container_id = ids.new_id(parts.view.containers)
        if not config.hostname and pod is None and config.namespaces.uts != "host":
            config = msgspec.structs.replace(config, hostname=container_id[:12])
        etc = etc_paths(parts.settings.container_dir(container_id))
        args = (config.entrypoint or ()) + (config.cmd or ())
        return Container(
            id=container_id,
            tenant=tenant,
            name="",
            config=config,
            image_ref=config.image,
            image_id=image_id,
            created_at=wall_ns(),
            pod_id=pod.id if pod else "",
            attempt=attempt,
            path=args[0],
            args=args[1:],
            log_path=logconfig.log_path(parts.settings, container_id, config.log),
            hostname_path="" if pod else etc.hostname,
            hosts_path="" if pod else etc.hosts,
            resolv_path="" if pod else etc.resolv,
            snapshotter=parts.snapshots.name,
            origin=origin,
        )

    def _check(self, record: Container) -> None:
        """Refuse now what could never start."""
        config, parts = record.config, self._parts
        logconfig.check(config.log)
        if config.stop_signal:
            signal_number(config.stop_signal)
        parts.settings.container_cgroup(record.id, config.cgroup_parent)
        if config.runtime not in ("", "native") and config.runtime not in parts.settings.runtimes:
            raise InvalidArgument(f"unknown or invalid runtime name: {config.runtime}")
        unknown = HostDevice(path="", kind="c", major=0, minor=0, mode=0)
        around = Surroundings(
            cgroup="/",
            rootfs="/",
            capabilities=parts.host.capabilities,
            devices=[unknown] * len(config.devices),
            swap_accounting=parts.host.swap_accounting,
        )
        validate(record, around)


def _in_pod(config: ContainerConfig, pod: Pod) -> ContainerConfig:
    """A container of a pod lives in the pod's namespaces, whatever it says itself."""
    wanted = pod.config
    if config.namespaces.pid.startswith("container:"):
        pid = config.namespaces.pid
    else:
        pid = "host" if wanted.host_pid else "pod" if wanted.share_pid else "private"
    spaces = Namespaces(
        network="host" if wanted.host_network else "pod",
        ipc="host" if wanted.host_ipc else "pod",
        uts="host" if wanted.host_network else "pod",
        pid=pid,
        cgroup=config.namespaces.cgroup,
        user=config.namespaces.user,
    )
    parent = config.cgroup_parent or wanted.cgroup_parent
    return msgspec.structs.replace(
        config, namespaces=spaces, cgroup_parent=parent, hostname=wanted.hostname
    )


def _reserve(tx: Tx, record: Container, name: str) -> tuple[Container, int]:
    """The intent, the record that nobody sees yet, and the name, which is taken now."""
    holder = tx.name_holder(record.tenant, name) if name else ""
    if holder:
        raise AlreadyExists(
            f'Conflict. The container name "/{name}" is already in use by container "{holder}".'
            " You have to remove (or rename) that container to be able to reuse that name."
        )
    if record.pod_id and not tx.pod(record.pod_id).ready:
        raise FailedPrecondition(f"pod {record.pod_id} is not ready")
    chosen = name or ids.random_name(lambda one: bool(tx.name_holder(record.tenant, one)))
    named = msgspec.structs.replace(record, name=chosen)
    tx.put_container(named, ready=False)
    return named, tx.begin("create", "container", named.id, named.tenant)


def _finish(tx: Tx, record: Container, intent: int) -> Container:
    tx.put_container(record)
    tx.container_event(record, "create")
    tx.end(intent)
    return record


def _make_directory(path: str) -> None:
    os.makedirs(path, mode=0o710, exist_ok=True)
