"""Networks made, removed, connected and disconnected: what a face asks for."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from pathlib import Path

import msgspec

from corten.engine import etcfiles, links, states
from corten.engine.door import Tx
from corten.engine.networking import (
    endpoint_of,
    endpoints_of,
    names_of,
    requests_of,
    router,
    wanted_of,
)
from corten.engine.operations import logged
from corten.engine.parts import Parts
from corten.engine.specgen.namespaces import own_network
from corten.engine.types import Container, Endpoint, Event, NetworkRequest, Tenant
from corten.errors import (
    CortenError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)
from corten.launch.messages import OpenNetlink
from corten.networks.bridge import check_address
from corten.networks.explain import HOST, OUTSIDE, End, Way, listeners
from corten.networks.types import Network, NetworkSpec

_FILES = 30.0


class NetworkAdmin:
    """The network methods of the engine."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        parts.door.listen(self._told)

    def _told(self, events: list[Event]) -> None:
        """A container that has another name is found under that; one that is linked to and
        started again may have another address."""
        for event in events:
            if event.type == "container" and event.action == "start":
                record = self._parts.view.containers.get(event.id)
                for other in links.linking_to(self._parts.view, record) if record else ():
                    self._parts.operations.background(
                        self._relink(other.id), f"links-{other.id[:12]}"
                    )
            if event.type == "container" and event.action == "rename":
                self._parts.operations.background(self.renamed(event.id), f"names-{event.id[:12]}")

    def journal(self, connection: sqlite3.Connection, action: str, network: Network) -> None:
        """The event of a network's change, in the change's own transaction."""
        tx = self._parts.door.join(connection)
        attributes = {"name": network.name, "type": network.driver}
        tx.event("network", action, network.id, network.tenant, **attributes)

    # networks --------------------------------------------------------------------------

    async def create(self, tenant: Tenant, spec: NetworkSpec) -> Network:
        """See ``contract.Engine.create_network``."""
        if tenant != "docker":
            raise InvalidArgument("networks of pods are made by CNI plugins")
        return await self._parts.operations.run(
            ("create-network", tenant, spec.name, os.urandom(8).hex()),
            lambda: self._parts.networks.create(spec, tenant=tenant),
        )

    async def remove(self, tenant: Tenant, ref: str) -> Network:
        """See ``contract.Engine.remove_network``."""
        network = self._parts.networks.find(ref, tenant)
        if network.built_in:
            raise PermissionDenied(f"{network.name} is a pre-defined network and cannot be removed")
        await self._parts.operations.run(
            ("remove-network", network.id), lambda: self._remove(network)
        )
        return network

    async def _remove(self, network: Network) -> None:
        async with self._parts.locks.hold(("network", network.id)):
            try:
                await self._parts.networks.remove(network.id)
            except FailedPrecondition as error:
                raise PermissionDenied(error.message, hint=error.hint) from None

    async def prune(self, tenant: Tenant, wanted: Callable[[Network], bool]) -> Sequence[Network]:
        """See ``contract.Engine.prune_networks``."""
        removed = []
        for network in self._parts.networks.networks(tenant):
            if network.built_in or not wanted(network):
                continue
            try:
                removed.append(await self.remove(tenant, network.id))
            except (PermissionDenied, NotFound):
                continue  # it is in use, or somebody else was faster
        return removed

    # containers ------------------------------------------------------------------------

    async def connect(self, tenant: Tenant, ref: str, request: NetworkRequest) -> None:
        """See ``contract.Engine.connect_network``."""
        record = self._parts.view.container(tenant, ref)
        network = self._parts.networks.find(request.network, tenant)
        await self._parts.operations.run(
            ("connect", record.id, network.id), lambda: self._connect(record.id, network, request)
        )

    async def _connect(self, container_id: str, network: Network, request: NetworkRequest) -> None:
        parts = self._parts
        async with parts.locks.hold(("network", network.id), ("container", container_id)):
            record = self._record(container_id)
            _check_connect(record, network, request)
            request = msgspec.structs.replace(request, network=network.name)
            if not states.is_running(record):
                await parts.door.commit(lambda tx: _add(tx, record.id, request), durable=True)
                return
            with ExitStack() as held:
                endpoint = await self._plug_in(record, network, request, held)
                try:
                    await parts.door.commit(
                        lambda tx: _add(tx, record.id, request, endpoint), durable=True
                    )
                except BaseException:
                    await parts.networks.unplug(record.id, network.id)
                    raise
                run = parts.runs.get(record.id)
                if run is None or run.monitor.exited.done():
                    # It ended meanwhile, and what its end took away did not have this yet.
                    await parts.networks.unplug(record.id, network.id)
            await self._changed(record.id)

    async def _plug_in(
        self, record: Container, network: Network, request: NetworkRequest, held: ExitStack
    ) -> Endpoint:
        netns, netlink = await self._inside(record, held)
        config = _with(record, request).config
        found = [(r, self._parts.networks.find(r.network)) for r in requests_of(config)]
        made = await self._parts.networks.attach(
            record.id,
            netns_fd=netns,
            netlink_fd=netlink,
            network=network.id,
            wanted=wanted_of(record, request, routes=router(found) == network.id),
        )
        assert made is not None
        return endpoint_of(made.attachment)

    async def _inside(self, record: Container, held: ExitStack) -> tuple[int, int]:
        """The container's network namespace, and a netlink socket opened in it."""
        try:
            netns = os.open(f"/proc/{record.state.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise FailedPrecondition(
                f"the network namespace of {record.name} can't be opened: {error.strerror}"
            ) from None
        held.callback(os.close, netns)
        peer = await self._parts.launcher.ready()
        reply = await peer.call_fds(OpenNetlink(), {"netns": netns})
        netlink = reply.fds.pop("netlink")
        held.callback(os.close, netlink)
        return netns, netlink

    async def disconnect(self, tenant: Tenant, ref: str, network: str, *, force: bool) -> None:
        """See ``contract.Engine.disconnect_network``."""
        found = self._parts.networks.find(network, tenant)
        try:
            record = self._parts.view.container(tenant, ref)
        except NotFound:
            if force:
                return
            raise
        await self._parts.operations.run(
            ("disconnect", record.id, found.id), lambda: self._disconnect(record.id, found)
        )

    async def _disconnect(self, container_id: str, network: Network) -> None:
        parts = self._parts
        async with parts.locks.hold(("network", network.id), ("container", container_id)):
            record = self._record(container_id)
            if not own_network(record.config.namespaces):
                raise PermissionDenied(
                    "container cannot be disconnected from host network or connected to host"
                    " network"
                )
            if network.name not in [r.network for r in requests_of(record.config)]:
                raise PermissionDenied(
                    f"container {record.id} is not connected to network {network.name}"
                )
            await parts.door.commit(lambda tx: _drop(tx, record.id, network), durable=True)
            if states.is_running(record):
                await parts.networks.unplug(record.id, network.id)
                await logged(self._reroute(container_id), f"routes of {container_id[:12]}")
                await self._changed(record.id)

    async def _reroute(self, container_id: str) -> None:
        """Another network has the default route now."""
        record = self._record(container_id)
        networks = self._parts.networks
        found = [(r, networks.find(r.network)) for r in requests_of(record.config)]
        through = router(found)
        if through:
            with ExitStack() as held:
                _, netlink = await self._inside(record, held)
                await networks.route(container_id, through, netlink)

    async def _changed(self, container_id: str) -> None:
        """The files about names say what is true now."""
        record = self._parts.view.containers.get(container_id)
        if record is None:
            return
        await logged(self._parts.resolver.change(record), f"names of {container_id[:12]}")
        where = etcfiles.paths(self._parts.settings.container_dir(container_id))
        addresses = [a for e in record.endpoints for a in (e.ipv4, e.ipv6) if a]
        await logged(
            self._parts.files.run(etcfiles.renew, where, record, addresses, deadline=_FILES),
            f"files of {container_id[:12]}",
        )

    async def _relink(self, container_id: str) -> None:
        record = self._parts.view.containers.get(container_id)
        if record is None:
            return
        where = etcfiles.paths(self._parts.settings.container_dir(container_id))
        found = links.lines(self._parts.view, record)
        await logged(
            self._parts.files.run(etcfiles.relink, where, found, deadline=_FILES),
            f"links of {container_id[:12]}",
        )

    # explaining ------------------------------------------------------------------------

    async def explain(self, tenant: Tenant, src: str, dst: str, *, port: int, protocol: str) -> Way:
        """See ``contract.Engine.explain_network``."""
        start = self._end(tenant, src)
        end = self._end(tenant, dst)
        if end.kind == "container" and port:
            inner = _inner_port(end, port, protocol, direct=start.kind == "container")
            found = await self._listening(tenant, dst, inner, protocol)
            end = msgspec.structs.replace(end, listening=found)
        return await self._parts.networks.explain(start, end, port=port, protocol=protocol)

    def _end(self, tenant: Tenant, ref: str) -> End:
        if ref in (HOST, OUTSIDE):
            return End(kind=ref, name=ref)
        record = self._owner(tenant, ref)
        if record is None:
            return End(kind=OUTSIDE, name=ref)
        found = tuple(self._parts.networks.attachments(record.id))
        return End(kind="container", name=record.name, attachments=found)

    def _owner(self, tenant: Tenant, ref: str) -> Container | None:
        """The container; None: an address of nobody's."""
        with suppress(ValueError):
            owner = self._parts.networks.owner(str(ip_address(ref)))
            return self._parts.view.containers.get(owner)
        return self._parts.view.container(tenant, ref)

    async def _listening(
        self, tenant: Tenant, ref: str, port: int, protocol: str
    ) -> tuple[str, ...] | None:
        record = self._owner(tenant, ref)
        if record is None or not states.is_running(record):
            return ()
        paths = [f"/proc/{record.state.pid}/net/{protocol}{family}" for family in ("", "6")]
        texts = await logged(
            self._parts.files.run(_read_all, paths, deadline=_FILES), "look at sockets"
        )
        if texts is None:
            return None
        return listeners(texts, port, listening="0A" if protocol == "tcp" else "07")

    def _record(self, container_id: str) -> Container:
        record = self._parts.view.containers.get(container_id)
        if record is None:
            raise NotFound(f"No such container: {container_id}")
        return record

    async def renamed(self, container_id: str) -> None:
        """The container has another name: it is found under that from now on."""
        record = self._record(container_id)
        networks = self._parts.networks
        for request in requests_of(record.config):
            try:
                network = networks.find(request.network)
                await networks.rename(container_id, network.id, names_of(record, request))
            except (CortenError, asyncio.CancelledError):
                continue
        endpoints = endpoints_of(networks, container_id)
        if endpoints:
            await self._parts.door.commit(lambda tx: _set_endpoints(tx, container_id, endpoints))


def _inner_port(end: End, port: int, protocol: str, *, direct: bool) -> int:
    """The container's own port, where a published one was named."""
    ports = [p for a in end.attachments for p in a.ports if p.protocol == protocol]
    if direct or any(p.container_port == port for p in ports):
        return port
    return next((p.container_port for p in ports if p.host_port == port), port)


def _read_all(paths: list[str]) -> list[str]:
    """Those of the files that are there; blocks."""
    found = []
    for path in paths:
        with suppress(FileNotFoundError):
            found.append(Path(path).read_text("ascii"))
    return found


def _check_connect(record: Container, network: Network, request: NetworkRequest) -> None:
    if network.driver == "host" or record.config.namespaces.network == "host":
        raise PermissionDenied(
            "container cannot be disconnected from host network or connected to host network"
        )
    if not own_network(record.config.namespaces):
        raise PermissionDenied(
            "container sharing network namespace with another container or host cannot be"
            " connected to any other network"
        )
    if network.driver == "null" or record.config.namespaces.network == "none":
        raise PermissionDenied(
            "container cannot be connected to multiple networks with one of the networks in"
            " private (none) mode"
        )
    if network.name in [r.network for r in requests_of(record.config)]:
        raise PermissionDenied(
            f"endpoint with name {record.name} already exists in network {network.name}"
        )
    if request.ipv4:
        check_address(request.ipv4, network, own=network.own_subnet4)
    if request.ipv6:
        check_address(request.ipv6, network, own=network.own_subnet6)
    if request.aliases and network.built_in:
        raise InvalidArgument(
            "network-scoped alias is supported only for containers in user defined networks"
        )


def _with(record: Container, request: NetworkRequest) -> Container:
    networks = (*requests_of(record.config), request)
    config = msgspec.structs.replace(record.config, networks=networks)
    return msgspec.structs.replace(record, config=config)


def _add(
    tx: Tx, container_id: str, request: NetworkRequest, endpoint: Endpoint | None = None
) -> None:
    record = _with(tx.container(container_id), request)
    if endpoint is not None:
        record = msgspec.structs.replace(record, endpoints=(*record.endpoints, endpoint))
        tx.network_event(endpoint, record, "connect")
    tx.put_container(record)


def _drop(tx: Tx, container_id: str, network: Network) -> None:
    record = tx.container(container_id)
    rest = [r for r in requests_of(record.config) if r.network != network.name]
    gone = [e for e in record.endpoints if e.network_id == network.id]
    config = msgspec.structs.replace(record.config, networks=tuple(rest))
    kept = tuple(e for e in record.endpoints if e.network_id != network.id)
    record = msgspec.structs.replace(record, config=config, endpoints=kept)
    tx.put_container(record)
    for endpoint in gone or [Endpoint(network=network.name, network_id=network.id)]:
        tx.network_event(endpoint, record, "disconnect")


def _set_endpoints(tx: Tx, container_id: str, endpoints: tuple[Endpoint, ...]) -> None:
    record = tx.container(container_id)
    tx.put_container(msgspec.structs.replace(record, endpoints=endpoints))
