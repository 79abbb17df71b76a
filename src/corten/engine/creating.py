"""Making a container: its record, its name, its writable layer. Nothing runs yet."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from corten.engine import checks, ids, links, logconfig, specgen
from corten.engine.boot import wall_ns
from corten.engine.door import Tx
from corten.engine.etcfiles import paths as etc_paths
from corten.engine.library import Library
from corten.engine.networking import all_requests
from corten.engine.parts import Parts
from corten.engine.specgen.build import Surroundings, validate
from corten.engine.specgen.devices import HostDevice
from corten.engine.specgen.signals import signal_number
from corten.engine.tables import Intent
from corten.engine.trees import remove_tree
from corten.engine.types import (
    Container,
    ContainerConfig,
    Namespaces,
    NetworkRequest,
    Pod,
    Tenant,
    Volume,
)
from corten.engine.volumes.using import Using
from corten.errors import (
    AlreadyExists,
    CortenError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unimplemented,
)
from corten.images.host import view as hostview

T = TypeVar("T")
_PREPARE = 60.0  # seconds for the directories, on a disk that is under load


class Creator:
    """``create_container``."""

    def __init__(self, parts: Parts, library: Library, using: Using) -> None:
        self._library = library
        self._parts = parts
        self._using = using

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
        merged, volumes = self._using.resolve(tenant, merged)
        merged = msgspec.structs.replace(merged, networks=self._networks(tenant, merged))
        record = self._record(tenant, merged, image.id, pod, attempt, origin)
        self._check(record, volumes)
        # Held until the volumes are filled; whoever else names them finds them whole.
        async with parts.locks.hold(*self._using.locks(volumes)):
            if not volumes and image.id != hostview.ID:
                return await self._at_once(record, image.chain_id, name)
            record, intent, new = await self._write(record, name, volumes)
            return await self._prepare(record, intent, image.chain_id, volumes, new)

    async def _at_once(self, record: Container, chain_id: str, name: str) -> Container:
        """In one transaction, without an intent: directories that are on no record are swept
        at the next start, so they may come before it."""
        parts = self._parts
        staged = await parts.snapshots.stage(record.id, chain_id)

        def step(tx: Tx) -> Container:
            named = _reserve(tx, record, name, ready=True)
            parts.snapshots.enter(tx.connection, staged)
            tx.container_event(named, "create")
            return named

        try:
            return await self._commit(record, step, durable=not record.config.auto_remove)
        except Exception:  # a commit that nobody waits for any more may still stand
            parts.snapshots.give_up(staged)
            raise

    async def _commit(self, record: Container, step: Callable[[Tx], T], *, durable: bool) -> T:
        parts = self._parts
        # The lock keeps the image from being removed before the record names it.
        async with parts.locks.hold(("image", record.image_id)):
            self._library.find(record.tenant, record.image_id)
            try:
                return await parts.door.commit(step, durable=durable)
            except AlreadyExists:
                # Perhaps by one that could not be taken back before, for lack of space.
                if not await parts.operations.hurry():
                    raise
                return await parts.door.commit(step, durable=durable)

    async def _write(
        self, record: Container, name: str, volumes: dict[str, Volume]
    ) -> tuple[Container, int, list[str]]:
        """The record that nobody sees yet, its intent, and the volumes that are new."""
        new: list[str] = []

        def step(tx: Tx) -> tuple[Container, int]:
            named = _reserve(tx, record, name, ready=False)
            new[:] = self._using.reserve(tx, named, volumes)
            return named, tx.begin("create", "container", named.id, named.tenant, volumes=new)

        lasting = any(not one.anonymous for one in volumes.values())
        durable = lasting or not record.config.auto_remove
        written, intent = await self._commit(record, step, durable=durable)
        return written, intent, new

    def _networks(self, tenant: Tenant, config: ContainerConfig) -> tuple[NetworkRequest, ...]:
        """By name, so that one that is made again is found; whether there is such a network
        is seen at the start, as with dockerd."""
        found = []
        for request in all_requests(config):
            name, network = request.network, None
            with suppress(NotFound):
                network = self._parts.networks.find(name, tenant)
                name = network.name
            if network is not None and network.built_in:
                _check_built_in(request)
            found.append(msgspec.structs.replace(request, network=name))
        return tuple(found)

    async def _prepare(
        self,
        record: Container,
        intent: int,
        chain_id: str,
        volumes: dict[str, Volume],
        new: list[str],
    ) -> Container:
        parts = self._parts

        def made(tx: Tx) -> Container:
            self._using.made(tx, record, new)
            return _finish(tx, record, intent)

        try:
            await parts.snapshots.prepare(record.id, chain_id)
            if record.image_id == hostview.ID:
                upper = parts.snapshots.upper(record.id)
                await parts.files.run(hostview.fill, upper, deadline=_PREPARE)
            await self._using.fill(record, volumes)
            return await parts.door.commit(made, durable=any(not volumes[n].anonymous for n in new))
        except CortenError:
            what = f"undo of {record.id[:12]}"
            await parts.operations.insist_apart(lambda: self.undo(record, new), what)
            raise

    async def finish(self, record: Container, intent: Intent) -> None:
        """After a crash: make what is missing, or undo it where that can't be done: without its
        image, or where volumes would have to be filled, which takes a launcher."""
        new = [str(name) for name in intent.data.get("volumes", ())]
        try:
            image = self._library.find(record.tenant, record.image_id)
        except NotFound:
            await self.undo(record, new)
            return
        if any(mount.type == "volume" for mount in record.config.mounts):
            await self.undo(record, new)
        else:
            await self._prepare(record, intent.number, image.chain_id, {}, [])

    async def undo(self, record: Container, new: list[str]) -> None:
        """Take back whatever a create has made, volumes included."""
        parts = self._parts
        await parts.snapshots.remove(record.id)
        directory = parts.settings.container_dir(record.id)
        await parts.files.run(remove_tree, directory, deadline=_PREPARE)
        await self._using.undo(record, new)

        def gone(tx: Tx) -> None:
            tx.drop_container(record.id)
            self._using.undone(tx, record, new)

        await parts.door.commit(gone, durable=True)

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

    def _check(self, record: Container, volumes: dict[str, Volume]) -> None:
        """Refuse now what could never start."""
        config, parts = record.config, self._parts
        if record.tenant == "docker":
            checks.check(config, cpus=parts.host.cpus)
        logconfig.check(config.log)
        links.check(parts.view, record)
        if config.stop_signal:
            signal_number(config.stop_signal)
        parts.settings.container_cgroup(record.id, config.cgroup_parent)
        if config.runtime not in ("", "native") and config.runtime not in parts.settings.runtimes:
            raise InvalidArgument(f"unknown or invalid runtime name: {config.runtime}")
        if config.init and config.runtime not in ("", "native"):
            raise Unimplemented(f"--init with the runtime {config.runtime} is not offered")
        unknown = HostDevice(path="", kind="c", major=0, minor=0, mode=0)
        around = Surroundings(
            cgroup="/",
            rootfs="/",
            capabilities=parts.host.capabilities,
            devices=[unknown] * len(config.devices),
            swap_accounting=parts.host.swap_accounting,
            volumes=volumes,
        )
        validate(record, around)


def _check_built_in(request: NetworkRequest) -> None:
    """What only networks that users make offer; in dockerd's words."""
    if request.ipv4 or request.ipv6:
        raise InvalidArgument(
            "user specified IP address is supported on user defined networks only"
        )
    if request.aliases:
        raise InvalidArgument(
            "network-scoped alias is supported only for containers in user defined networks"
        )


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


def _reserve(tx: Tx, record: Container, name: str, *, ready: bool) -> Container:
    """The record, which nobody sees until it is ready, and the name, which is taken now."""
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
    return tx.put_container(named, ready=ready)


def _finish(tx: Tx, record: Container, intent: int) -> Container:
    tx.put_container(record)
    tx.container_event(record, "create")
    tx.end(intent)
    return record
