"""A bridge network: subnets, a veth pair per container, published ports.

Order in everything: record, then effect; undo of the effect, then of the record. So a
daemon that was killed anywhere finds a record for whatever exists (:meth:`recover`).
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from ipaddress import IPv4Interface, IPv6Interface, ip_address

import msgspec

from corten.errors import CortenError, FailedPrecondition, InvalidArgument, NotFound
from corten.networks import host, records
from corten.networks.addresses import AnyAddress, AnyNetwork, mac_of
from corten.networks.firewall import BridgeRules, Firewall, Forward
from corten.networks.leaving import Leaving
from corten.networks.links import mac_bytes
from corten.networks.ports import bind_ports, name_holder
from corten.networks.segment import Segment, claim, forwards_of, release
from corten.networks.types import (
    Attached,
    Attachment,
    Listener,
    Network,
    NetworkConfig,
    Port,
    Wanted,
)
from corten.networks.worker import Workers
from corten.store.database import Database

_NAME_BYTES = 15  # IFNAMSIZ without the zero


class BridgeDriver:
    """One bridge network. All methods belong to one event loop.

    Arguments:
        network: its record; see :class:`Segment`.
        cursor4: the address given last.
        firewall: the daemon's table.
        others: gives the subnets of the daemon's other networks.
        holder: names the container, of any network, that has published a port.
    """

    def __init__(
        self,
        network: Network,
        *,
        cursor4: int,
        db: Database,
        prefix: str,
        config: NetworkConfig,
        workers: Workers,
        firewall: Firewall,
        others: Callable[[], Sequence[AnyNetwork]],
        holder: Callable[[Port], str],
    ) -> None:
        self._db = db
        self._prefix = prefix
        self._workers = workers
        self._holder = holder
        self._endpoints: dict[str, Attachment] = {}
        self._leaving = Leaving(db, workers, self._left)
        self.closed = False  # it is being removed: nobody gets in any more
        self.segment = Segment(
            network,
            cursor4=cursor4,
            db=db,
            config=config,
            workers=workers,
            firewall=firewall,
            endpoints=self.endpoints,
            leaving=self._leaving.endpoints,
            others=others,
        )

    @property
    def network(self) -> Network:
        """The record as it is now."""
        return self.segment.network

    def endpoints(self) -> Sequence[Attachment]:
        """Everyone that is connected; from memory."""
        return tuple(self._endpoints.values())

    def endpoint(self, container_id: str) -> Attachment | None:
        """The container's; from memory."""
        return self._endpoints.get(container_id)

    # containers --------------------------------------------------------------------------
    async def attach(
        self, container_id: str, wanted: Wanted, *, netns_fd: int, netlink_fd: int
    ) -> Attached:
        """See ``NetworkService.attach``."""
        self._check(container_id, wanted)
        await self.segment.ensure()
        asked = {wanted.ipv4, wanted.ipv6} - {""}
        if any(asked & {e.ipv4, e.ipv6} for e in self._leaving.endpoints()):
            await self._leaving.drain()  # a restart: it is the container's own, a moment ago
        self._check(container_id, wanted)
        endpoint, listeners = self._claim(container_id, wanted)
        async with AsyncExitStack() as undo:
            # Its record goes after it, the address after that: also on a disk that is full.
            undo.callback(self._leaving.add, [endpoint])
            for listener in listeners:
                undo.callback(listener.socket.close)
            self._endpoints[container_id] = endpoint
            undo.callback(self._endpoints.pop, container_id, None)
            cursor = self.segment.pool.cursor
            await self._db.write(
                partial(records.add_endpoint, endpoint=endpoint, cursor4=cursor), durable=False
            )
            await self._connect(endpoint, wanted, netns_fd, netlink_fd)
            undo.push_async_callback(
                self._workers.remove, "disconnect", host.remove_links, [endpoint.host_interface]
            )
            await self.segment.publish(forwards_of(endpoint))
            undo.pop_all()
        return Attached(attachment=endpoint, listeners=listeners)

    def _check(self, container_id: str, wanted: Wanted) -> None:
        _check_mac(wanted.mac_address)
        if self.closed:
            raise NotFound(f"network {self.network.name} not found")
        if container_id in self._endpoints:
            raise FailedPrecondition(
                f"container {container_id} is already connected to network {self.network.name}"
            )
        for address, own in (
            (wanted.ipv4, self.network.own_subnet4),
            (wanted.ipv6, self.network.own_subnet6),
        ):
            if address:
                check_address(address, self.network, own=own)

    def _claim(self, container_id: str, wanted: Wanted) -> tuple[Attachment, tuple[Listener, ...]]:
        """Addresses and ports, in memory and in the kernel; on no record yet."""
        ipv4, ipv6 = claim(self.segment, wanted.ipv4, wanted.ipv6)
        endpoint = self._endpoint(container_id, ipv4, ipv6, wanted)
        try:
            listeners = self._bind(wanted.ports, endpoint)
        except BaseException:
            release(self.segment, endpoint)
            raise
        ports = tuple(listener.port for listener in listeners)
        return msgspec.structs.replace(endpoint, ports=ports), listeners

    def _bind(self, ports: Sequence[Port], endpoint: Attachment) -> tuple[Listener, ...]:
        default = self.segment.options.host_ip
        if default:
            ports = [
                port if port.host_ip else msgspec.structs.replace(port, host_ip=default)
                for port in ports
            ]
        try:
            return bind_ports(ports, target_ip=endpoint.ipv4, target_ip6=endpoint.ipv6)
        except FailedPrecondition as error:
            raise name_holder(error, ports, self._holder) from None

    def _endpoint(
        self, container_id: str, ipv4: AnyAddress, ipv6: AnyAddress | None, wanted: Wanted
    ) -> Attachment:
        network = self.network
        random = secrets.token_hex(32)
        return Attachment(
            id=random,
            container_id=container_id,
            network=network.name,
            network_id=network.id,
            interface=wanted.interface,
            host_interface=f"{self._prefix}v{random}"[:_NAME_BYTES],
            mac_address=wanted.mac_address or mac_of(ipv4),
            ipv4=str(ipv4),
            ipv4_prefix=int(network.subnet4.split("/")[1]),
            gateway4="" if network.internal else network.gateway4,
            ipv6="" if ipv6 is None else str(ipv6),
            ipv6_prefix=0 if ipv6 is None else int(network.subnet6.split("/")[1]),
            gateway6="" if ipv6 is None or network.internal else network.gateway6,
            names=wanted.names,
            links=wanted.links,
        )

    async def _connect(
        self, endpoint: Attachment, wanted: Wanted, netns_fd: int, netlink_fd: int
    ) -> None:
        interface = _interface(endpoint, wanted, self.network.mtu)
        interface = interface._replace(isolated=not self.segment.options.talk)
        connect = partial(
            host.connect, interface=interface, netns_fd=netns_fd, netlink_fd=netlink_fd
        )
        segment = self.segment
        try:
            await self._workers.make("connect", connect, segment.index)
        except CortenError:
            if await segment.exists():
                raise
            segment.index = 0  # somebody removed the bridge under us
            await segment.ensure()
            await self._workers.make("connect", connect, segment.index)

    async def detach(self, container_id: str) -> Attachment | None:
        """Ports are withdrawn at once; interface, address and record go in the background,
        because the kernel takes its time and mostly removes the interface itself."""
        endpoint = self._endpoints.pop(container_id, None)
        if endpoint is None:
            return None
        self._leaving.add([endpoint])
        await self.segment.withdraw(forwards_of(endpoint))
        return endpoint

    async def unplug(self, container_id: str) -> None:
        """As :meth:`detach`, of a container that goes on: its interface is gone afterwards."""
        endpoint = await self.detach(container_id)
        if endpoint is not None:
            name = [endpoint.host_interface]
            await self._workers.remove("disconnect", host.remove_links, name)

    async def rename(self, container_id: str, names: tuple[str, ...]) -> bool:
        """Give a connected container other names; whether it is one."""
        endpoint = self._endpoints.get(container_id)
        if endpoint is None:
            return False
        renamed = msgspec.structs.replace(endpoint, names=names)
        await self._db.write(partial(records.put_endpoint, endpoint=renamed), durable=False)
        if container_id in self._endpoints:
            self._endpoints[container_id] = renamed
        return True

    def _left(self, endpoint: Attachment) -> None:
        release(self.segment, endpoint)

    # life --------------------------------------------------------------------------------
    def load(self, endpoints: Iterable[Attachment], live: Collection[str]) -> list[str]:
        """Take over the records of an earlier daemon.

        Of several endpoints of one container the last is the one in use: the others were
        on their way out.

        Returns:
            ids of the endpoints that are gone.
        """
        everyone = list(endpoints)
        self._endpoints = {e.container_id: e for e in everyone if e.container_id in live}
        return [e.id for e in everyone if self._endpoints.get(e.container_id) is not e]

    def in_table(self) -> tuple[BridgeRules, list[Forward]]:
        """What the firewall's table should have of this network."""
        forwards = [f for endpoint in self.endpoints() for f in forwards_of(endpoint)]
        return self.segment.rules(), forwards

    async def take_back(self) -> None:
        """Wait for what is leaving, then remove the bridge; nobody may be connected."""
        await self._leaving.drain()
        await self.segment.take_back()

    async def close(self) -> None:
        """Finish what is leaving; take the bridge back where nothing uses it."""
        await self._leaving.close()
        if not self._endpoints:
            await self.segment.take_back()


def _interface(endpoint: Attachment, wanted: Wanted, mtu: int) -> host.Interface:
    routed = wanted.default_route
    made = host.Interface(
        host_name=endpoint.host_interface,
        name=endpoint.interface,
        mac_address=endpoint.mac_address,
        address=IPv4Interface(f"{endpoint.ipv4}/{endpoint.ipv4_prefix}"),
        gateway=_gateway(endpoint.gateway4 if routed else ""),  # type: ignore[arg-type] # IPv4
        mtu=mtu,
        hairpin=bool(endpoint.ports),
    )
    if not endpoint.ipv6:
        return made
    return made._replace(
        address6=IPv6Interface(f"{endpoint.ipv6}/{endpoint.ipv6_prefix}"),
        gateway6=_gateway(endpoint.gateway6 if routed else ""),  # type: ignore[arg-type] # IPv6
    )


def _gateway(text: str) -> AnyAddress | None:
    return ip_address(text) if text else None


def check_address(address: str, network: Network, *, own: bool) -> None:
    """Whether a container may ask for this address.

    Raises:
        InvalidArgument: in dockerd's words.
    """
    if network.built_in:
        raise InvalidArgument(
            "user specified IP address is supported on user defined networks only"
        )
    if not own:
        raise InvalidArgument(
            "user specified IP address is supported only when connecting to networks with"
            " user configured subnets"
        )
    with contextlib.suppress(ValueError):
        ip_address(address)
        return
    raise InvalidArgument(f"invalid address: {address}")


def _check_mac(mac: str) -> None:
    if not mac:
        return
    try:
        raw = mac_bytes(mac)
    except ValueError:
        raw = b""
    if len(raw) != 6 or raw[0] & 1:
        raise InvalidArgument(f"{mac!r} is no MAC address of an interface")
