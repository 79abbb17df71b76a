"""The networks of one daemon: what the engine calls."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Sequence

from corten.errors import FailedPrecondition, NotFound
from corten.kernel.libnftables import Nftables
from corten.networks import host, records
from corten.networks.bridge import BridgeDriver
from corten.networks.firewall import Firewall
from corten.networks.pods import PodNetworks
from corten.networks.types import (
    Attached,
    Attachment,
    Network,
    NetworkConfig,
    PodDns,
    PodNetwork,
    PodNetworkStatus,
    PodPort,
    Port,
)
from corten.networks.worker import Workers
from corten.store.database import Database

_ALIASES = {"": "bridge", "default": "bridge"}
_BUILT_IN = (("bridge", "bridge"), ("host", "host"), ("none", "null"))  # name, driver


class NetworkService:
    """Bridge networks for containers and CNI networks for pods.

    Everything it makes bears ``prefix`` and is on record before it exists, so that
    :meth:`recover` finds it again after a crash at any point.

    Arguments:
        db: the daemon's database.
        prefix: of this daemon, at most 7 characters.
        state_dir: S; pods' namespaces are pinned below ``S/netns``.
    """

    def __init__(self, *, db: Database, prefix: str, state_dir: str, config: NetworkConfig) -> None:
        self._db = db
        self._prefix = prefix
        self._config = config
        self._workers = Workers()
        self._others: tuple[Network, ...] = ()
        self._bridge: BridgeDriver | None = None
        self._pods = PodNetworks(db=db, state_dir=state_dir, config=config)

    async def recover(self, live: Collection[str]) -> None:
        """Load the records, then make kernel and records agree; before anything else.

        Arguments:
            live: ids of containers and pods whose monitor lives. What belongs to others
                is detached; what bears the prefix and is on no record is removed.
        """
        stored = self._db.read(records.networks) or await self._db.write(self._first_records)
        by_name = {s.network.name: s for s in stored}
        bridge = by_name["bridge"]
        self._others = tuple(s.network for s in stored if s.network.name != "bridge")
        self._bridge = BridgeDriver(
            bridge.network,
            cursor4=bridge.cursor4,
            db=self._db,
            prefix=self._prefix,
            config=self._config,
            workers=self._workers,
            firewall=Firewall(Nftables, self._prefix),
        )
        await self._bridge.recover(self._db.read(records.endpoints), live)
        await self._pods.recover(live)

    def _first_records(self, connection: records.Connection) -> list[records.StoredNetwork]:
        now = time.time_ns()
        for name, driver in _BUILT_IN:
            network = Network(
                id=secrets.token_hex(32),
                name=name,
                driver=driver,
                interface=f"{self._prefix}0" if driver == "bridge" else "",
                created_at=now,
            )
            records.put_network(connection, network)
        return records.networks(connection)

    def _driver(self) -> BridgeDriver:
        if self._bridge is None:
            raise FailedPrecondition("the networks are not recovered yet")
        return self._bridge

    async def attach(
        self,
        container_id: str,
        *,
        netns_fd: int,
        netlink_fd: int,
        network: str = "bridge",
        ports: Sequence[Port] = (),
        mac_address: str = "",
    ) -> Attached | None:
        """Connect a network namespace: interface, address, default route, published ports.

        Undoes everything if it fails. The bridge is made at the first call.

        Arguments:
            netns_fd: of the container's namespace; stays the caller's.
            netlink_fd: a NETLINK_ROUTE socket opened inside it; stays the caller's.
            network: ``bridge`` (or ``default``), or ``none`` (only the loopback interface
                is brought up, and the answer is ``None``).
        Raises:
            FailedPrecondition: a port is in use (named, with its holder where it is ours).
            ResourceExhausted: no address is left.
            NotFound: there is no such network.
        """
        name = _ALIASES.get(network, network)
        if name == "none":
            await self._workers.make("bring up lo", host.loopback_up, netlink_fd)
            return None
        if name != "bridge":
            raise NotFound(
                f"there is no network {network!r} to attach to",
                hint="networks are bridge, host and none",
            )
        return await self._driver().attach(
            container_id,
            netns_fd=netns_fd,
            netlink_fd=netlink_fd,
            ports=ports,
            mac_address=mac_address,
        )

    async def detach(self, container_id: str) -> None:
        """Take back interface, address and ports of a container; idempotent.

        Ports are free when this returns (and the monitor has closed its sockets); the rest
        follows in the background.
        """
        await self._driver().detach(container_id)

    def attachments(self, container_id: str) -> Sequence[Attachment]:
        """The container's attachments; from memory."""
        return self._driver().attachments(container_id)

    def networks(self) -> Sequence[Network]:
        """``bridge``, ``host`` and ``none``."""
        return (self._driver().network, *self._others)

    # pods --------------------------------------------------------------------------------
    async def add_pod(
        self,
        pod_id: str,
        *,
        netns_fd: int,
        name: str,
        namespace: str,
        uid: str = "",
        ports: Sequence[PodPort] = (),
        annotations: dict[str, str] | None = None,
        dns: PodDns | None = None,
        cgroup_path: str = "",
    ) -> PodNetwork:
        """Pin the namespace at ``S/netns/cni-UUID`` and run the CNI plugins' ADD.

        Undoes everything (DEL, unpin) if it fails; idempotent by ``pod_id``.

        Raises:
            FailedPrecondition: no usable CNI configuration; the path is named.
            Unavailable, DeadlineExceeded, InvalidArgument: a plugin's answer.
        """
        return await self._pods.add(
            pod_id,
            netns_fd=netns_fd,
            name=name,
            namespace=namespace,
            uid=uid,
            ports=ports,
            annotations=annotations or {},
            dns=dns or PodDns(),
            cgroup_path=cgroup_path,
        )

    async def remove_pod(self, pod_id: str) -> None:
        """Run the plugins' DEL, then unpin; idempotent."""
        await self._pods.remove(pod_id)

    async def check_pod(self, pod_id: str) -> None:
        """Run the plugins' CHECK; raises what a plugin complains of."""
        await self._pods.check(pod_id)

    def pod_network(self, pod_id: str) -> PodNetwork | None:
        """The pod's network, from memory."""
        return self._pods.get(pod_id)

    async def pod_status(self) -> PodNetworkStatus:
        """Whether a pod can get a network now (configuration, plugins, STATUS)."""
        return await self._pods.status()

    async def close(self) -> None:
        """Finish what is being removed, end threads; containers and their networks stay.

        A bridge that nothing is connected to is taken back, and made again when needed."""
        if self._bridge is not None:
            await self._bridge.close()
        self._pods.close()
        self._workers.close()
