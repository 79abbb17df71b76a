"""All bridge networks of one daemon: one driver each, one firewall table for all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Collection, Sequence
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Protocol

import msgspec

from corten.errors import AlreadyExists, CortenError, FailedPrecondition, NotFound
from corten.kernel.libnftables import Nftables
from corten.networks import host, names, planning, records
from corten.networks.addresses import AnyNetwork
from corten.networks.bridge import BridgeDriver
from corten.networks.explain import World
from corten.networks.firewall import Firewall
from corten.networks.foreign import Place
from corten.networks.types import (
    Attached,
    Attachment,
    Network,
    NetworkConfig,
    NetworkSpec,
    Port,
    Wanted,
)
from corten.networks.worker import Workers
from corten.store.database import Database

_log = logging.getLogger(__name__)
_CHECK = 30.0  # seconds between looks at other people's firewalls
_BUILT_IN = [name for name, _driver in planning.BUILT_IN]


class Journal(Protocol):
    def __call__(
        self, connection: records.Connection, action: str, network: Network, /
    ) -> None: ...


class Catalog:
    """Which networks there are, and who is connected to what. See :class:`NetworkService`,
    whose docstrings hold for these methods."""

    def __init__(
        self,
        *,
        db: Database,
        prefix: str,
        state_dir: str,
        config: NetworkConfig,
        workers: Workers,
        journal: Journal,
    ) -> None:
        self._db = db
        self._prefix = prefix
        self._config = config
        self._workers = workers
        self._journal = journal
        self._firewall = Firewall(Nftables, prefix)
        self._tables = names.Tables(f"{state_dir}/names")
        self._fixed: dict[str, Network] = {}
        self._drivers: dict[str, BridgeDriver] = {}
        self._changing = asyncio.Lock()  # of the list of networks
        self._checking: asyncio.Task[None] | None = None

    # the list ----------------------------------------------------------------------------
    def networks(self) -> Sequence[Network]:
        """The oldest first, the built-in ones before all others."""
        if not self._drivers:
            raise FailedPrecondition("the networks are not recovered yet")
        every = [*(d.network for d in self._drivers.values()), *self._fixed.values()]
        return sorted(
            every, key=lambda n: _BUILT_IN.index(n.name) if n.built_in else n.created_at + 3
        )

    def _subnets(self, but: str = "") -> list[AnyNetwork]:
        found = [d.network for d in self._drivers.values() if d.network.id != but]
        return [ip_network(text) for n in found for text in (n.subnet4, n.subnet6) if text]

    async def create(self, spec: NetworkSpec, tenant: str) -> Network:
        planning.check_driver(spec)
        async with self._changing:
            if any(n.name == spec.name and n.tenant == tenant for n in self.networks()):
                raise AlreadyExists(f"network with name {spec.name} already exists")
            network = await self._plan(spec, tenant)
            await self._db.write(partial(self._record, network=network))
            driver = self._add(network, 0)
        try:
            await driver.segment.ensure()
        except CortenError:
            await driver.take_back()
            await self._forget(driver)
            raise
        return driver.network

    async def _plan(self, spec: NetworkSpec, tenant: str) -> Network:
        ident = secrets.token_hex(32)
        ours = self._subnets()
        taken: list[AnyNetwork] = []
        for version in (4, 6):
            taken += await self._workers.make("list routes", host.taken_subnets, version)
        mtu = self._config.mtu or await self._workers.make("read MTU", host.default_mtu)
        network = planning.plan(
            spec,
            ident=ident,
            interface=f"{self._prefix}b{ident}"[:15],
            tenant=tenant,
            config=self._config,
            mtu=mtu,
            ours=ours,
            taken=[*ours, *taken],
        )
        used = {d.network.interface for d in self._drivers.values()}
        if network.interface in used:
            raise AlreadyExists(f"the bridge {network.interface} is another network's")
        return network

    def _record(self, connection: records.Connection, network: Network) -> None:
        records.put_network(connection, network)
        self._journal(connection, "create", network)

    async def remove(self, network_id: str) -> None:
        driver = self._driver(network_id)
        if driver.endpoints():
            raise planning.in_use(driver.network)
        driver.closed = True
        try:
            # Before the record: a bridge that is on none would be nobody's.
            await driver.take_back()
            await self._forget(driver)
        except BaseException:
            driver.closed = False
            raise

    async def _forget(self, driver: BridgeDriver) -> None:
        network = driver.network

        def step(connection: records.Connection) -> None:
            records.drop_network(connection, network.id)
            self._journal(connection, "destroy", network)

        await self._db.write(step)
        self._drivers.pop(network.id, None)
        await self._workers.make("remove names", self._tables.remove, network.id)

    def _add(self, network: Network, cursor4: int) -> BridgeDriver:
        driver = BridgeDriver(
            network,
            cursor4=cursor4,
            db=self._db,
            prefix=self._prefix,
            config=self._config,
            workers=self._workers,
            firewall=self._firewall,
            others=lambda: self._subnets(network.id),
            holder=self._holder,
        )
        self._drivers[network.id] = driver
        return driver

    def _driver(self, network_id: str) -> BridgeDriver:
        driver = self._drivers.get(network_id)
        if driver is None:
            raise NotFound(f"network {network_id} not found")
        return driver

    def _holder(self, wanted: Port) -> str:
        for driver in self._drivers.values():
            for endpoint in driver.endpoints():
                for port in endpoint.ports:
                    if (port.host_port, port.protocol) == (wanted.host_port, wanted.protocol):
                        return endpoint.container_id
        return ""

    # containers --------------------------------------------------------------------------
    async def attach(
        self, network: Network, container_id: str, wanted: Wanted, *, netns_fd: int, netlink_fd: int
    ) -> Attached:
        driver = self._driver(network.id)
        if not wanted.interface:
            wanted = msgspec.structs.replace(
                wanted, interface=self._interface(driver, container_id)
            )
        made = await driver.attach(container_id, wanted, netns_fd=netns_fd, netlink_fd=netlink_fd)
        try:
            await self._write_names(driver)
        except BaseException:
            made.close()
            await driver.detach(container_id)
            raise
        return made

    def _interface(self, driver: BridgeDriver, container_id: str) -> str:
        """The first name that is free inside."""
        taken = {e.interface for e in self.attachments(container_id)}
        prefix = driver.segment.options.prefix
        return next(n for i in range(len(taken) + 1) if (n := f"{prefix}{i}") not in taken)

    async def detach(self, container_id: str) -> None:
        for driver in tuple(self._drivers.values()):
            if await driver.detach(container_id) is not None:
                await self._write_names(driver)

    async def unplug(self, container_id: str, network_id: str) -> None:
        driver = self._drivers.get(network_id)
        if driver is not None and driver.endpoint(container_id) is not None:
            await driver.unplug(container_id)
            await self._write_names(driver)

    async def rename(self, container_id: str, network_id: str, given: tuple[str, ...]) -> None:
        driver = self._driver(network_id)
        if await driver.rename(container_id, given):
            await self._write_names(driver)

    async def _write_names(self, driver: BridgeDriver) -> None:
        """Names are for the networks that users make; the default one has none, as Docker's.

        The text is made in the thread that writes, one after the other: so the last one that
        is written is the newest."""
        if driver.network.built_in:
            return

        def write() -> None:
            network, every = driver.network, driver.endpoints()
            self._tables.write(network.id, names.table(network.name, every))
            linked = {names.links_id(network.id, e.container_id): e for e in every if e.links}
            for ident, endpoint in linked.items():
                self._tables.write(ident, names.of_links(network.name, endpoint, every))
            self._tables.sweep_links(network.id, linked)

        await self._workers.make("write names", write)

    def attachments(self, container_id: str) -> Sequence[Attachment]:
        found = [d.endpoint(container_id) for d in self._drivers.values()]
        return tuple(sorted((e for e in found if e is not None), key=_interface_number))

    def owner(self, address: str) -> str:
        for driver in self._drivers.values():
            for endpoint in driver.endpoints():
                if address in (endpoint.ipv4, endpoint.ipv6):
                    return endpoint.container_id
        return ""

    def attached(self) -> set[str]:
        return {e.container_id for d in self._drivers.values() for e in d.endpoints()}

    @staticmethod
    def set_routes(endpoint: Attachment, netlink_fd: int) -> None:
        """Blocks."""
        host.set_default_routes(
            netlink_fd,
            ip_address(endpoint.gateway4) if endpoint.gateway4 else None,  # type: ignore[arg-type] # IPv4
            ip_address(endpoint.gateway6) if endpoint.gateway6 else None,  # type: ignore[arg-type] # IPv6
        )

    # life --------------------------------------------------------------------------------
    async def recover(self, live: Collection[str]) -> None:
        stored = self._db.read(records.networks) or await self._db.write(self._first_records)
        for one in stored:
            network = msgspec.structs.replace(one.network, built_in=one.network.name in _BUILT_IN)
            if network.driver == "bridge":
                self._add(network, one.cursor4)
            else:
                self._fixed[network.id] = network
        endpoints = self._db.read(records.endpoints)
        dead: list[str] = []
        for driver in self._drivers.values():
            mine = [e for e in endpoints if e.network_id == driver.network.id]
            dead += driver.load(mine, live)
        await self._restore(dead)

    async def _restore(self, dead: list[str]) -> None:
        used = [driver for driver in self._drivers.values() if driver.endpoints()]
        # All at once: a table with some of the bridges would cut the others off for a moment.
        self._firewall.expect(
            [d.in_table()[0] for d in used], [f for d in used for f in d.in_table()[1]]
        )
        for driver in used:
            await driver.segment.ensure()
        keep = {e.host_interface: d.segment.index for d in used for e in d.endpoints()}
        bridges = {driver.network.interface for driver in self._drivers.values()}
        await self._workers.make("sweep", host.sweep, self._prefix, keep, bridges)
        if dead:
            await self._db.write(lambda c: records.remove_endpoints(c, dead), durable=False)
        for driver in self._drivers.values():
            if driver not in used:
                await driver.segment.take_back()
            await self._write_names(driver)
        known = set(self._drivers)
        await self._workers.make("sweep names", self._tables.sweep, known)

        self._checking = asyncio.get_running_loop().create_task(self._check_again())

    async def _check_again(self) -> None:
        """Others change firewalls while we run (a reload of ufw takes away what was added)."""
        while True:
            await asyncio.sleep(_CHECK)
            try:
                await self.check()
            except CortenError as error:
                _log.warning("the firewall could not be checked: %s", error)

    async def check(self) -> list[Place]:
        """See :meth:`Firewall.check`."""
        return await self._workers.make("check firewall", self._firewall.check)

    async def world(self) -> World:
        """What decides about packets, for an explanation."""
        found: list[tuple[str, bool]] = []
        with contextlib.suppress(CortenError):
            accepted = await self.check()
            every = await self._workers.make("look at firewalls", self._firewall.foreign.look)
            found = [(place.describe(), place in accepted) for place in every]
        return World(
            table=self._prefix,
            networks={network.id: network for network in self.networks()},
            foreign=tuple(found),
        )

    def _first_records(self, connection: records.Connection) -> list[records.StoredNetwork]:
        for name, driver in planning.BUILT_IN:
            network = Network(
                id=secrets.token_hex(32),
                name=name,
                driver=driver,
                built_in=True,
                interface=f"{self._prefix}0" if driver == "bridge" else "",
                created_at=time.time_ns(),
            )
            records.put_network(connection, network)
        return records.networks(connection)

    async def close(self) -> None:
        """See ``NetworkService.close``."""
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)
        for driver in self._drivers.values():
            await driver.close()


def _interface_number(endpoint: Attachment) -> tuple[int, str]:
    digits = "".join(c for c in endpoint.interface if c.isdigit())
    return int(digits or 0), endpoint.interface
