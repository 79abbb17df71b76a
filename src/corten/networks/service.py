"""The networks of one daemon: what the engine calls."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from corten.errors import InvalidArgument, NotFound
from corten.networks import host, records
from corten.networks.catalog import Catalog
from corten.networks.explain import End, Way, explain
from corten.networks.pods import PodNetworks
from corten.networks.types import (
    Attached,
    Attachment,
    Network,
    NetworkConfig,
    NetworkSpec,
    PodDns,
    PodNetwork,
    PodNetworkStatus,
    PodPort,
    Port,
    Wanted,
)
from corten.networks.worker import Workers
from corten.store.database import Database

Journal = Callable[[records.Connection, str, Network], None]


def no_journal(_connection: records.Connection, _action: str, _network: Network) -> None:
    """Nobody wants to know."""


class NetworkService:
    """Bridge networks for containers and CNI networks for pods.

    Everything it makes bears ``prefix`` and is on record before it exists, so that
    :meth:`recover` finds it again after a crash at any point.

    Arguments:
        db: the daemon's database.
        prefix: of this daemon, at most 7 characters.
        state_dir: S; pods' namespaces are pinned below ``S/netns``, tables of names lie in
            ``S/names``.
        journal: called in the transaction that makes (``create``) or removes (``destroy``)
            a network.
    """

    def __init__(
        self,
        *,
        db: Database,
        prefix: str,
        state_dir: str,
        config: NetworkConfig,
        journal: Journal = no_journal,
    ) -> None:
        self._workers = Workers()
        self._catalog = Catalog(
            db=db,
            prefix=prefix,
            state_dir=state_dir,
            config=config,
            workers=self._workers,
            journal=journal,
        )
        self._pods = PodNetworks(db=db, state_dir=state_dir, config=config)

    async def recover(self, live: Collection[str]) -> None:
        """Load the records, then make kernel and records agree; before anything else.

        Arguments:
            live: ids of containers and pods whose monitor lives. What belongs to others
                is detached; what bears the prefix and is on no record is removed.
        """
        await self._catalog.recover(live)
        await self._pods.recover(live)

    # networks ----------------------------------------------------------------------------
    def networks(self, tenant: str = "") -> Sequence[Network]:
        """``bridge``, ``host``, ``none``, and those that users made, of one tenant or of all."""
        found = self._catalog.networks()
        return [n for n in found if n.built_in or not tenant or n.tenant == tenant]

    def find(self, ref: str, tenant: str = "docker") -> Network:
        """By name, id or a unique prefix of one.

        Raises:
            NotFound: in dockerd's words.
            InvalidArgument: the prefix fits several.
        """
        every = self.networks(tenant)
        wanted = "bridge" if ref in ("", "default") else ref
        for network in every:
            if wanted in (network.id, network.name):
                return network
        found = [network for network in every if network.id.startswith(wanted)]
        if len(found) > 1:
            raise InvalidArgument(
                f"network {ref} is ambiguous ({len(found)} matches found on ID prefix)"
            )
        if not found:
            raise NotFound(f"network {ref} not found")
        return found[0]

    async def create(self, spec: NetworkSpec, *, tenant: str = "docker") -> Network:
        """Make a network: its record, durably, then its bridge.

        Raises:
            AlreadyExists: the name is taken.
            InvalidArgument, PermissionDenied, NotFound: it can't be, in dockerd's words.
            ResourceExhausted: no subnet is free.
        """
        return await self._catalog.create(spec, tenant)

    async def remove(self, network_id: str) -> None:
        """Remove a network that nobody is connected to: its bridge, then its record.

        Raises:
            FailedPrecondition: somebody is.
        """
        await self._catalog.remove(network_id)

    # containers --------------------------------------------------------------------------
    async def attach(
        self,
        container_id: str,
        *,
        netns_fd: int,
        netlink_fd: int,
        network: str = "bridge",
        ports: Sequence[Port] = (),
        mac_address: str = "",
        wanted: Wanted | None = None,
    ) -> Attached | None:
        """Connect a network namespace: interface, addresses, default route, published ports.

        Undoes everything if it fails. The bridge is made if it isn't there.

        Arguments:
            netns_fd: of the container's namespace; stays the caller's.
            netlink_fd: a NETLINK_ROUTE socket opened inside it; stays the caller's.
            network: name or id; with ``none`` only the loopback interface is brought up, and
                the answer is ``None``.
            wanted: all that is wanted; without it ``ports`` and ``mac_address`` are.
        Raises:
            FailedPrecondition: a port is in use (named, with its holder where it is ours), or
                an address.
            ResourceExhausted: no address is left.
            NotFound: there is no such network.
        """
        found = self.find(network)
        if found.driver == "null":
            await self._workers.make("bring up lo", host.loopback_up, netlink_fd)
            return None
        if wanted is None:
            wanted = Wanted(ports=tuple(ports), mac_address=mac_address)
        return await self._catalog.attach(
            found, container_id, wanted, netns_fd=netns_fd, netlink_fd=netlink_fd
        )

    async def detach(self, container_id: str) -> None:
        """Take back interfaces, addresses and ports of a container; idempotent.

        Ports are free when this returns (and the monitor has closed its sockets); the rest
        follows in the background.
        """
        await self._catalog.detach(container_id)

    async def unplug(self, container_id: str, network_id: str) -> None:
        """Take one network from a container that goes on; idempotent."""
        await self._catalog.unplug(container_id, network_id)

    async def route(self, container_id: str, network_id: str, netlink_fd: int) -> None:
        """Have what the container sends elsewhere go by this network of its."""
        endpoint = next(
            (e for e in self.attachments(container_id) if e.network_id == network_id), None
        )
        if endpoint is not None:
            await self._workers.make(
                "set default route", self._catalog.set_routes, endpoint, netlink_fd
            )

    async def rename(self, container_id: str, network_id: str, names: tuple[str, ...]) -> None:
        """Give a connected container other names on a network."""
        await self._catalog.rename(container_id, network_id, names)

    async def explain(self, src: End, dst: End, *, port: int, protocol: str) -> Way:
        """The way of a packet, and where it would be dropped."""
        return explain(src, dst, port=port, protocol=protocol, world=await self._catalog.world())

    def owner(self, address: str) -> str:
        """The id of the container that has an address; empty: none."""
        return self._catalog.owner(address)

    def attachments(self, container_id: str) -> Sequence[Attachment]:
        """The container's attachments, in the order of their interfaces; from memory."""
        return self._catalog.attachments(container_id)

    def attached(self) -> set[str]:
        """Ids of the containers that are connected to something; from memory."""
        return self._catalog.attached()

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
        await self._catalog.close()
        self._pods.close()
        self._workers.close()
