"""The default bridge: a subnet, a veth pair per container, published ports.

Order in everything: record, then effect; undo of the effect, then of the record. So a
daemon that was killed anywhere finds a record for whatever exists (:meth:`recover`).
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Collection, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from ipaddress import IPv4Address, IPv4Interface

from corten.errors import CortenError, FailedPrecondition, InvalidArgument
from corten.networks import host, records
from corten.networks.addresses import (
    mac_of,
)
from corten.networks.firewall import Firewall
from corten.networks.leaving import Leaving
from corten.networks.links import mac_bytes
from corten.networks.ports import bind_ports, name_holder
from corten.networks.segment import Segment, forwards_of
from corten.networks.types import Attached, Attachment, Listener, Network, NetworkConfig, Port
from corten.networks.worker import Workers
from corten.store.database import Database

_INTERFACE = "eth0"
_NAME_BYTES = 15  # IFNAMSIZ without the zero


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
        self._db = db
        self._prefix = prefix
        self._workers = workers
        self._endpoints: dict[str, list[Attachment]] = {}
        self._leaving = Leaving(db, workers, self._left)
        self._segment = Segment(
            network,
            cursor4=cursor4,
            db=db,
            config=config,
            workers=workers,
            firewall=firewall,
            endpoints=lambda: [e for group in self._endpoints.values() for e in group],
            leaving=self._leaving.endpoints,
        )

    @property
    def network(self) -> Network:
        """The record as it is now."""
        return self._segment.network

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
        await self._segment.ensure()
        endpoint, listeners = self._claim(container_id, ports, mac_address)
        async with AsyncExitStack() as undo:
            # Its record goes after it, the address after that: also on a disk that is full.
            undo.callback(self._leaving.add, [endpoint])
            for listener in listeners:
                undo.callback(listener.socket.close)
            self._endpoints.setdefault(container_id, []).append(endpoint)
            undo.callback(self._forget, endpoint)
            await self._db.write(
                partial(records.add_endpoint, endpoint=endpoint, cursor4=self._segment.pool.cursor),
                durable=False,
            )
            await self._connect(endpoint, netns_fd, netlink_fd)
            undo.push_async_callback(
                self._workers.remove, "disconnect", host.remove_links, [endpoint.host_interface]
            )
            await self._segment.publish(forwards_of(endpoint))
            undo.pop_all()
        return Attached(attachment=endpoint, listeners=listeners)

    def _claim(
        self, container_id: str, ports: Sequence[Port], mac_address: str
    ) -> tuple[Attachment, tuple[Listener, ...]]:
        """An address and the ports, in memory and in the kernel; on no record yet."""
        pool = self._segment.pool
        address = pool.allocate()
        try:
            listeners = self._bind(ports, str(address))
        except BaseException:
            pool.release(address)
            raise
        return self._endpoint(container_id, address, mac_address, listeners), listeners

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
        segment = self._segment
        try:
            await self._workers.make("connect", connect, segment.index)
        except CortenError:
            if await segment.exists():
                raise
            segment.index = 0  # somebody removed the bridge under us
            await segment.ensure()
            await self._workers.make("connect", connect, segment.index)

    async def detach(self, container_id: str) -> None:
        """Ports are withdrawn at once; interface, address and record go in the background,
        because the kernel takes its time and mostly removes the interface itself."""
        endpoints = self._endpoints.pop(container_id, [])
        forwards = [f for endpoint in endpoints for f in forwards_of(endpoint)]
        self._leaving.add(endpoints)
        await self._segment.withdraw(forwards)

    def attachments(self, container_id: str) -> Sequence[Attachment]:
        """From memory."""
        return tuple(self._endpoints.get(container_id, ()))

    def _forget(self, endpoint: Attachment) -> None:
        group = self._endpoints.get(endpoint.container_id, [])
        with contextlib.suppress(ValueError):
            group.remove(endpoint)
        if not group:
            self._endpoints.pop(endpoint.container_id, None)

    def _left(self, endpoint: Attachment) -> None:
        self._segment.pool.release(IPv4Address(endpoint.ipv4))

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
            await self._segment.ensure()
        await self._workers.make("sweep", host.sweep, self._prefix, keep, self._segment.index)
        if dead:
            await self._db.write(lambda c: records.remove_endpoints(c, dead), durable=False)
        if not newest:
            await self._segment.take_back()

    async def close(self) -> None:
        """Finish what is leaving; take the bridge back where nothing uses it."""
        await self._leaving.close()
        if not self._endpoints:
            await self._segment.take_back()


def _check_mac(mac: str) -> None:
    if not mac:
        return
    try:
        raw = mac_bytes(mac)
    except ValueError:
        raw = b""
    if len(raw) != 6 or raw[0] & 1:
        raise InvalidArgument(f"{mac!r} is no MAC address of an interface")
