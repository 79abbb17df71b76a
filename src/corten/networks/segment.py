"""A bridge with its subnets and its place in the firewall's table: made when first needed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, ip_address, ip_network

import msgspec

from corten.errors import CortenError, ResourceExhausted
from corten.networks import host, records
from corten.networks.addresses import (
    AddressPool,
    AnyAddress,
    AnyNetwork,
    choose_subnet,
    choose_subnet6,
    gateway_of,
    mac_of,
    parse_subnet,
)
from corten.networks.firewall import BridgeRules, Firewall, Forward
from corten.networks.options import Options
from corten.networks.types import Attachment, Network, NetworkConfig
from corten.networks.worker import Workers
from corten.store.database import Database

_log = logging.getLogger(__name__)
_CHOICES = 4  # of a subnet, while other daemons choose too


class Segment:
    """One bridge. All methods belong to one event loop.

    Arguments:
        network: its record; subnet and MTU of the default bridge may be empty until it is
            first made.
        cursor4: the address given last.
        firewall: the daemon's table.
        endpoints: gives those that are connected.
        leaving: gives those whose addresses are still taken.
        others: gives the subnets of the daemon's other networks, which may have no bridge.

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
        others: Callable[[], Sequence[AnyNetwork]] = tuple,
    ) -> None:
        self.network = network
        self.options = Options.of(network)
        self.index = 0
        self._cursor4 = cursor4
        self._db = db
        self._config = config
        self._workers = workers
        self._firewall: Firewall | None = firewall  # None: it can't be used
        self._endpoints = endpoints
        self._leaving = leaving
        self._others = others
        self._making = asyncio.Lock()
        self._pool: AddressPool | None = None
        self._pool6: AddressPool | None = None

    @property
    def pool(self) -> AddressPool:
        """The subnet's addresses; there are some after :meth:`ensure`."""
        assert self._pool is not None, "ensure() comes first"
        return self._pool

    @property
    def pool6(self) -> AddressPool | None:
        """The IPv6 subnet's addresses, where it has one."""
        return self._pool6

    def rules(self) -> BridgeRules:
        """The bridge in the firewall's table."""
        return rules_of(self.network)

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
        """Keep the recorded subnet of the default bridge if it is still free or in use by
        containers of ours. Another network keeps the one that it was made with."""
        if self._endpoints() or not self.network.built_in:
            self._make_pools()
            return
        found = await self._workers.make(
            "list routes", partial(host.taken_subnets, but=self.network.interface)
        )
        taken = [*found, *self._others()]
        subnet = self.network.subnet4
        if self._config.subnet4:
            subnet = str(parse_subnet(self._config.subnet4))
        elif not subnet or any(t.prefixlen and _overlap(t, parse_subnet(subnet)) for t in taken):
            subnet = str(choose_subnet(self._config.pools, _only4(taken)))
        mtu = self._config.mtu or await self._workers.make("read MTU", host.default_mtu)
        if (subnet, mtu) == (self.network.subnet4, self.network.mtu):
            self._make_pools()
            return
        if subnet != self.network.subnet4:
            self._cursor4 = 0
            self._pool = None
        self.network = msgspec.structs.replace(
            self.network, subnet4=subnet, gateway4=str(gateway_of(parse_subnet(subnet))), mtu=mtu
        )
        await self._db.write(partial(records.put_network, network=self.network))
        self._make_pools()

    def _make_pools(self) -> None:
        """The addresses, with those that are given."""
        network = self.network
        given = (*self._endpoints(), *self._leaving())
        aux = [ip_address(a) for a in network.aux.values()]
        if self._pool is None:
            self._pool = AddressPool(
                ip_network(network.subnet4),
                reserved=[ip_address(network.gateway4), *aux],
                within=ip_network(network.range4) if network.range4 else None,
                used=[ip_address(e.ipv4) for e in given],
                cursor=self._cursor4,
            )
        if self._pool6 is None and network.subnet6:
            self._pool6 = AddressPool(
                ip_network(network.subnet6),
                reserved=[ip_address(network.gateway6), *aux],
                within=ip_network(network.range6) if network.range6 else None,
                used=[ip_address(e.ipv6) for e in given if e.ipv6],
            )

    async def _make_bridge(self) -> int:
        """The index; 0 if another daemon took the subnet at the same time, and was first."""
        network = self.network
        gateway = IPv4Interface(f"{network.gateway4}/{network.subnet4.split('/')[1]}")
        gateway6 = None
        if network.subnet6:
            gateway6 = IPv6Interface(f"{network.gateway6}/{network.subnet6.split('/')[1]}")
        index = await self._workers.make(
            "make bridge",
            partial(host.make_bridge, mtu=network.mtu, mac=mac_of(gateway.ip), address6=gateway6),
            network.interface,
            gateway,
        )
        if (
            self._endpoints()
            or not network.built_in
            or not await self._workers.make(
                "check subnet", host.overlapped_by_older, network.interface, gateway.network
            )
        ):
            return index
        await self._workers.remove("remove bridge", host.remove_links, [network.interface])
        return 0

    def _forwarding(self) -> None:
        host.switch_on_forwarding(
            lambda path, previous, value: self._db.write_blocking(
                lambda c: records.remember_setting(c, path, previous, value)
            ),
            ipv6=bool(self.network.subnet6),
        )

    # the firewall's table --------------------------------------------------------------
    async def _load_firewall(self) -> None:
        """Put the bridge in the table; without one the monitors' relay serves published ports."""
        problem = self.network.nat_problem
        if self._firewall is not None:
            problem = ""
            try:
                await self._workers.make("nftables", self._firewall.add_bridge, self.rules())
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
        """Remove the bridge and what the table has of it, where they are; both come back
        with :meth:`ensure`."""
        async with self._making:
            self.index = 0
            if await self.exists():
                await self._workers.remove(
                    "remove bridge", host.remove_links, [self.network.interface]
                )
            if self._firewall is not None:
                drop = partial(self._firewall.drop_bridge, self.network.interface)
                with contextlib.suppress(CortenError):  # without nf_tables there is no table
                    await self._workers.make("remove table", drop)


def release(segment: Segment, endpoint: Attachment) -> None:
    """The endpoint's addresses are free again."""
    segment.pool.release(ip_address(endpoint.ipv4))
    if endpoint.ipv6 and segment.pool6 is not None:
        segment.pool6.release(ip_address(endpoint.ipv6))


def claim(segment: Segment, ipv4: str, ipv6: str) -> tuple[AnyAddress, AnyAddress | None]:
    """An address of each family: the ones asked for, or any. Raises as :class:`AddressPool`."""
    pool, pool6 = segment.pool, segment.pool6
    first = pool.take(ip_address(ipv4)) if ipv4 else pool.allocate()
    if pool6 is None:
        return first, None
    try:
        return first, pool6.take(ip_address(ipv6)) if ipv6 else pool6.allocate()
    except BaseException:
        pool.release(first)
        raise


def _overlap(one: AnyNetwork, other: AnyNetwork) -> bool:
    return one.version == other.version and one.overlaps(other)


def _only4(networks: Sequence[AnyNetwork]) -> list[IPv4Network]:
    return [n for n in networks if isinstance(n, IPv4Network)]


def choose(
    config: NetworkConfig, taken: Sequence[AnyNetwork], *, ipv6: bool
) -> tuple[AnyNetwork, AnyNetwork | None]:
    """Subnets for a network whose maker named none."""
    subnet6 = choose_subnet6(secrets.token_bytes, taken) if ipv6 else None
    return choose_subnet(config.pools, _only4(taken)), subnet6


def rules_of(network: Network) -> BridgeRules:
    """A bridge in the firewall's table."""
    options = Options.of(network)
    return BridgeRules(
        network.interface,
        network.subnet4,
        network.subnet6,
        masquerade=options.masquerade,
        internal=network.internal,
        talk=options.talk,
    )


def forwards_of(endpoint: Attachment) -> list[Forward]:
    """What the kernel translates: all but loopback addresses (the relay's), and IPv6 only
    to containers that have it (the relay serves the others)."""
    found = []
    for port in endpoint.ports:
        target = endpoint.ipv6 if ":" in port.host_ip else endpoint.ipv4
        if target and not ip_address(port.host_ip).is_loopback:
            found.append(
                Forward(
                    protocol=port.protocol,
                    host_ip=port.host_ip,
                    host_port=port.host_port,
                    target_ip=target,
                    target_port=port.container_port,
                )
            )
    return found
