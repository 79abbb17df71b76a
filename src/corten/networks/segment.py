"""A bridge with its subnet and its place in the firewall's table: made when first needed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Interface

import msgspec

from corten.errors import CortenError, ResourceExhausted
from corten.networks import host, records
from corten.networks.addresses import (
    AddressPool,
    choose_subnet,
    gateway_of,
    mac_of,
    parse_subnet,
)
from corten.networks.firewall import BridgeRules, Firewall, Forward
from corten.networks.types import Attachment, Network, NetworkConfig
from corten.networks.worker import Workers
from corten.store.database import Database

_log = logging.getLogger(__name__)
_CHOICES = 4  # of a subnet, while other daemons choose too


class Segment:
    """One bridge. All methods belong to one event loop.

    Arguments:
        network: its record; subnet and MTU may be empty until the bridge is first made.
        cursor4: the address given last.
        firewall: the daemon's table.
        endpoints: gives those that are connected.
        leaving: gives those whose addresses are still taken.

    Attributes:
        network: the record as it is now.
        index: of the bridge; 0: not made, as far as we know.
    """

    def __init__(
        self,
        network: Network,
        *,
        cursor4: int,
        db: Database,
        config: NetworkConfig,
        workers: Workers,
        firewall: Firewall,
        endpoints: Callable[[], Sequence[Attachment]],
        leaving: Callable[[], Sequence[Attachment]],
    ) -> None:
        self.network = network
        self.index = 0
        self._cursor4 = cursor4
        self._db = db
        self._config = config
        self._workers = workers
        self._firewall: Firewall | None = firewall  # None: it can't be used
        self._endpoints = endpoints
        self._leaving = leaving
        self._making = asyncio.Lock()
        self._pool: AddressPool | None = None

    @property
    def pool(self) -> AddressPool:
        """The subnet's addresses; there are some after :meth:`ensure`."""
        assert self._pool is not None, "ensure() comes first"
        return self._pool

    async def ensure(self) -> None:
        """The bridge, its address, forwarding and the firewall's table exist afterwards.

        Raises:
            ResourceExhausted: no subnet is free.
            PermissionDenied: the daemon may not.
        """
        async with self._making:
            if not self.index:
                self.index = await self._make()

    async def _make(self) -> int:
        for _ in range(_CHOICES):
            await self._settle_subnet()
            index = await self._make_bridge()
            if index:
                break
        else:
            raise ResourceExhausted(
                "other networks kept taking the subnet that was chosen", step="make bridge"
            )
        await self._workers.make("switch on forwarding", self._forwarding)
        await self._load_firewall()
        return index

    async def _settle_subnet(self) -> None:
        """Keep the recorded subnet if it is still free or in use by containers of ours."""
        if self._endpoints():
            self._pool = self._pool or self._new_pool()
            return
        taken = await self._workers.make(
            "list routes", partial(host.taken_subnets, but=self.network.interface)
        )
        subnet = self.network.subnet4
        if self._config.subnet4:
            subnet = str(parse_subnet(self._config.subnet4))
        elif not subnet or any(t.prefixlen and t.overlaps(parse_subnet(subnet)) for t in taken):
            subnet = str(choose_subnet(self._config.pools, taken))
        mtu = self._config.mtu or await self._workers.make("read MTU", host.default_mtu)
        if (subnet, mtu) == (self.network.subnet4, self.network.mtu):
            self._pool = self._pool or self._new_pool()
            return
        if subnet != self.network.subnet4:
            self._cursor4 = 0
        self.network = msgspec.structs.replace(
            self.network, subnet4=subnet, gateway4=str(gateway_of(parse_subnet(subnet))), mtu=mtu
        )
        await self._db.write(partial(records.put_network, network=self.network))
        self._pool = self._new_pool()

    def _new_pool(self) -> AddressPool:
        subnet = parse_subnet(self.network.subnet4)
        given = [IPv4Address(e.ipv4) for e in (*self._endpoints(), *self._leaving())]
        return AddressPool(subnet, used=given, cursor=self._cursor4)

    async def _make_bridge(self) -> int:
        """The index; 0 if another daemon took the subnet at the same time, and was first."""
        network = self.network
        gateway = IPv4Interface(f"{network.gateway4}/{network.subnet4.split('/')[1]}")
        index = await self._workers.make(
            "make bridge",
            partial(host.make_bridge, mtu=network.mtu, mac=mac_of(gateway.ip)),
            network.interface,
            gateway,
        )
        if self._endpoints() or not await self._workers.make(
            "check subnet", host.overlapped_by_older, network.interface, gateway.network
        ):
            return index
        await self._workers.remove("remove bridge", host.remove_links, [network.interface])
        return 0

    def _forwarding(self) -> None:
        host.switch_on_forwarding(
            lambda path, previous: self._db.write_blocking(
                lambda c: records.remember_setting(c, path, previous, "1")
            )
        )

    # the firewall's table --------------------------------------------------------------
    async def _load_firewall(self) -> None:
        """Write the table; without one the monitors' relay serves published ports."""
        problem = self.network.nat_problem
        if self._firewall is not None:
            problem = ""
            rules = BridgeRules(self.network.interface, self.network.subnet4)
            forwards = [f for endpoint in self._endpoints() for f in forwards_of(endpoint)]
            try:
                await self._workers.make("nftables", self._firewall.load, [rules], forwards)
            except CortenError as error:
                problem = error.message
                self._firewall = None
                _log.warning("no NAT for containers, published ports are relayed: %s", problem)
        self.network = msgspec.structs.replace(
            self.network, nat="relay" if problem else "nftables", nat_problem=problem
        )

    async def publish(self, forwards: Sequence[Forward]) -> None:
        """Have the kernel translate these ports."""
        if forwards and self._firewall is not None:
            await self._workers.make("publish ports", self._firewall.publish, forwards)

    async def withdraw(self, forwards: Sequence[Forward]) -> None:
        """The opposite; idempotent."""
        if forwards and self._firewall is not None:
            await self._workers.make("withdraw ports", self._firewall.withdraw, forwards)

    # the end ---------------------------------------------------------------------------
    async def exists(self) -> bool:
        """Whether the bridge is there now: somebody may have removed it."""
        return await self._workers.make("look up bridge", host.exists, self.network.interface)

    async def take_back(self) -> None:
        """Remove bridge and table, where they are; both come back with :meth:`ensure`."""
        self.index = 0
        if await self.exists():
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
