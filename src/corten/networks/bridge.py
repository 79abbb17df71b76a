"""The default bridge: a subnet, a veth pair per container, published ports.

Order in everything: record, then effect; undo of the effect, then of the record. So a
daemon that was killed anywhere finds a record for whatever exists (:meth:`recover`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Collection, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from ipaddress import IPv4Address, IPv4Interface

import msgspec

from corten.errors import CortenError, FailedPrecondition, InvalidArgument
from corten.networks import host, records
from corten.networks.addresses import (
    AddressPool,
    choose_subnet,
    gateway_of,
    mac_of,
    parse_subnet,
)
from corten.networks.firewall import BridgeRules, Firewall, Forward
from corten.networks.leaving import Leaving
from corten.networks.links import mac_bytes
from corten.networks.ports import bind_ports, name_holder
from corten.networks.types import Attached, Attachment, Listener, Network, NetworkConfig, Port
from corten.networks.worker import Workers
from corten.store.database import Database

_log = logging.getLogger(__name__)

_INTERFACE = "eth0"
_NAME_BYTES = 15  # IFNAMSIZ without the zero
_CHOICES = 4  # of a subnet, while other daemons choose too


class BridgeDriver:
    """One bridge network. All methods belong to one event loop.

    Arguments:
        network: its record; subnet and MTU may be empty until the bridge is first made.
        cursor4: the address given last.
        firewall: the daemon's table.
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
    ) -> None:
        self.network = network
        self._cursor4 = cursor4
        self._db = db
        self._prefix = prefix
        self._config = config
        self._workers = workers
        self._firewall: Firewall | None = firewall  # None: it can't be used
        self._index = 0  # of the bridge; 0: not made (as far as we know)
        self._making = asyncio.Lock()
        self._pool: AddressPool | None = None
        self._endpoints: dict[str, list[Attachment]] = {}
        self._leaving = Leaving(db, workers, self._left)

    # the bridge ------------------------------------------------------------------------
    async def ensure(self) -> Network:
        """The bridge, its address, forwarding and the firewall's table exist afterwards.

        Raises:
            ResourceExhausted: no subnet is free.
            PermissionDenied: the daemon may not.
        """
        async with self._making:
            if not self._index:
                self._index = await self._make()
        return self.network

    async def _make(self) -> int:
        for _ in range(_CHOICES):
            await self._settle_subnet()
            network = self.network
            gateway = IPv4Interface(f"{network.gateway4}/{network.subnet4.split('/')[1]}")
            index = await self._workers.make(
                "make bridge",
                partial(host.make_bridge, mtu=network.mtu, mac=mac_of(gateway.ip)),
                network.interface,
                gateway,
            )
            if self._endpoints or not await self._workers.make(
                "check subnet", host.overlapped_by_older, network.interface, gateway.network
            ):
                break
            await self._workers.remove("remove bridge", host.remove_links, [network.interface])
        await self._workers.make("switch on forwarding", self._forwarding)
        await self._load_firewall()
        return index

    async def _settle_subnet(self) -> None:
        """Keep the recorded subnet if it is still free or in use by containers of ours."""
        network = self.network
        taken = await self._workers.make(
            "list routes", partial(host.taken_subnets, but=network.interface)
        )
        if network.subnet4 and self._config.subnet4 in ("", network.subnet4):
            ours = parse_subnet(network.subnet4)
            if self._endpoints or not any(t.prefixlen and t.overlaps(ours) for t in taken):
                self._pool = self._pool or self._new_pool()
                return
        if self._config.subnet4:
            subnet = parse_subnet(self._config.subnet4)
        else:
            subnet = choose_subnet(self._config.pools, taken)
        mtu = self._config.mtu or await self._workers.make("read MTU", host.default_mtu)
        self.network = msgspec.structs.replace(
            network, subnet4=str(subnet), gateway4=str(gateway_of(subnet)), mtu=mtu
        )
        await self._db.write(partial(records.put_network, network=self.network))
        self._cursor4 = 0
        self._pool = self._new_pool()

    def _new_pool(self) -> AddressPool:
        everyone = [a for group in self._endpoints.values() for a in group]
        return AddressPool(
            parse_subnet(self.network.subnet4),
            used=[IPv4Address(a.ipv4) for a in (*everyone, *self._leaving.endpoints())],
            cursor=self._cursor4,
        )

    def _forwarding(self) -> None:
        host.switch_on_forwarding(
            lambda path, previous: self._db.write_blocking(
                lambda c: records.remember_setting(c, path, previous, "1")
            )
        )

    async def _load_firewall(self) -> None:
        """Write the table; without one the monitors' relay serves published ports."""
        problem = self.network.nat_problem
        if self._firewall is not None:
            problem = ""
            rules = BridgeRules(self.network.interface, self.network.subnet4)
            forwards = [
                f for group in self._endpoints.values() for a in group for f in forwards_of(a)
            ]
            try:
                await self._workers.make("nftables", self._firewall.load, [rules], forwards)
            except CortenError as error:
                problem = error.message
                self._firewall = None
                _log.warning("no NAT for containers, published ports are relayed: %s", problem)
        self.network = msgspec.structs.replace(
            self.network, nat="relay" if problem else "nftables", nat_problem=problem
        )

    # containers --------------------------------------------------------------------------
    async def attach(
        self,
        container_id: str,
        *,
        netns_fd: int,
        netlink_fd: int,
        ports: Sequence[Port] = (),
        mac_address: str = "",
    ) -> Attached:
        """See ``NetworkService.attach``."""
        _check_mac(mac_address)
        await self.ensure()
        assert self._pool is not None
        async with AsyncExitStack() as undo:
            address = self._pool.allocate()
            undo.callback(self._pool.release, address)
            listeners = self._bind(ports, str(address))
            for listener in listeners:
                undo.callback(listener.socket.close)
            endpoint = self._endpoint(container_id, address, mac_address, listeners)
            self._endpoints.setdefault(container_id, []).append(endpoint)
            undo.callback(self._forget, endpoint)
            await self._db.write(
                partial(records.add_endpoint, endpoint=endpoint, cursor4=self._pool.cursor),
                durable=False,
            )
            undo.push_async_callback(self._remove_record, endpoint)
            await self._connect(endpoint, netns_fd, netlink_fd)
            undo.push_async_callback(
                self._workers.remove, "disconnect", host.remove_links, [endpoint.host_interface]
            )
            await self._publish(forwards_of(endpoint))
            undo.pop_all()
        return Attached(attachment=endpoint, listeners=listeners)

    def _bind(self, ports: Sequence[Port], target: str) -> tuple[Listener, ...]:
        try:
            return bind_ports(ports, target_ip=target)
        except FailedPrecondition as error:
            raise name_holder(error, ports, self._holder) from None

    def _holder(self, wanted: Port) -> str:
        for group in self._endpoints.values():
            for endpoint in group:
                for port in endpoint.ports:
                    if (port.host_port, port.protocol) == (wanted.host_port, wanted.protocol):
                        return endpoint.container_id
        return ""

    def _endpoint(
        self,
        container_id: str,
        address: IPv4Address,
        mac_address: str,
        listeners: Sequence[Listener],
    ) -> Attachment:
        network = self.network
        random = secrets.token_hex(32)
        return Attachment(
            id=random,
            container_id=container_id,
            network=network.name,
            network_id=network.id,
            interface=_INTERFACE,
            host_interface=f"{self._prefix}v{random}"[:_NAME_BYTES],
            mac_address=mac_address or mac_of(address),
            ipv4=str(address),
            ipv4_prefix=int(network.subnet4.split("/")[1]),
            gateway4=network.gateway4,
            ports=tuple(listener.port for listener in listeners),
        )

    async def _connect(self, endpoint: Attachment, netns_fd: int, netlink_fd: int) -> None:
        interface = host.Interface(
            host_name=endpoint.host_interface,
            name=endpoint.interface,
            mac_address=endpoint.mac_address,
            address=IPv4Interface(f"{endpoint.ipv4}/{endpoint.ipv4_prefix}"),
            gateway=IPv4Address(endpoint.gateway4),
            mtu=self.network.mtu,
            hairpin=bool(endpoint.ports),
        )
        connect = partial(
            host.connect, interface=interface, netns_fd=netns_fd, netlink_fd=netlink_fd
        )
        try:
            await self._workers.make("connect", connect, self._index)
        except CortenError:
            if await self._workers.make("look up bridge", host.exists, self.network.interface):
                raise
            self._index = 0  # somebody removed the bridge under us
            await self.ensure()
            await self._workers.make("connect", connect, self._index)

    async def _publish(self, forwards: Sequence[Forward]) -> None:
        if forwards and self._firewall is not None:
            await self._workers.make("publish ports", self._firewall.publish, forwards)

    async def detach(self, container_id: str) -> None:
        """Ports are withdrawn at once; interface, address and record go in the background,
        because the kernel takes its time and mostly removes the interface itself."""
        endpoints = self._endpoints.pop(container_id, [])
        forwards = [f for endpoint in endpoints for f in forwards_of(endpoint)]
        self._leaving.add(endpoints)
        if forwards and self._firewall is not None:
            await self._workers.make("withdraw ports", self._firewall.withdraw, forwards)

    def attachments(self, container_id: str) -> Sequence[Attachment]:
        """From memory."""
        return tuple(self._endpoints.get(container_id, ()))

    def _forget(self, endpoint: Attachment) -> None:
        group = self._endpoints.get(endpoint.container_id, [])
        with contextlib.suppress(ValueError):
            group.remove(endpoint)
        if not group:
            self._endpoints.pop(endpoint.container_id, None)

    async def _remove_record(self, endpoint: Attachment) -> None:
        await self._db.write(lambda c: records.remove_endpoints(c, [endpoint.id]), durable=False)

    def _left(self, endpoint: Attachment) -> None:
        if self._pool is not None:
            self._pool.release(IPv4Address(endpoint.ipv4))

    # life --------------------------------------------------------------------------------
    async def recover(self, endpoints: Iterable[Attachment], live: Collection[str]) -> None:
        """Make kernel and records agree; see ``NetworkService.recover``.

        Of several endpoints of one container the last is the one in use: the others were
        on their way out.
        """
        everyone = list(endpoints)
        newest = {e.container_id: e for e in everyone if e.container_id in live}
        self._endpoints = {container: [e] for container, e in newest.items()}
        dead = [e.id for e in everyone if newest.get(e.container_id) is not e]
        keep = {e.host_interface for e in newest.values()}
        if newest:
            await self.ensure()
        await self._workers.make("sweep", host.sweep, self._prefix, keep, self._index)
        if dead:
            await self._db.write(lambda c: records.remove_endpoints(c, dead), durable=False)
        if not newest:
            await self._take_back()

    async def close(self) -> None:
        """Finish what is leaving; take the bridge back where nothing uses it."""
        await self._leaving.close()
        if not self._endpoints:
            await self._take_back()

    async def _take_back(self) -> None:
        self._index = 0
        await self._workers.remove("remove bridge", host.remove_links, [self.network.interface])
        if self._firewall is not None:
            with contextlib.suppress(CortenError):  # a kernel without nf_tables has no table
                await self._workers.make("remove table", self._firewall.remove)


def forwards_of(endpoint: Attachment) -> list[Forward]:
    """What the kernel translates: all but IPv6 (the relay's) and loopback addresses."""
    return [
        Forward(
            protocol=port.protocol,
            host_ip=port.host_ip,
            host_port=port.host_port,
            target_ip=endpoint.ipv4,
            target_port=port.container_port,
        )
        for port in endpoint.ports
        if ":" not in port.host_ip and not port.host_ip.startswith("127.")
    ]


def _check_mac(mac: str) -> None:
    if not mac:
        return
    try:
        raw = mac_bytes(mac)
    except ValueError:
        raw = b""
    if len(raw) != 6 or raw[0] & 1:
        raise InvalidArgument(f"{mac!r} is no MAC address of an interface")
