"""The networks of one daemon: what the engine calls."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from corten.errors import Unimplemented
from corten.networks.types import (
    Attached,
    Attachment,
    Network,
    NetworkConfig,
    PodNetwork,
    PodNetworkStatus,
    PodPort,
    Port,
)

if TYPE_CHECKING:
    from corten.store.database import Database


class NetworkService:
    """Bridge networks for containers and CNI networks for pods.

    Everything it makes bears ``prefix`` and is on record before it exists, so that
    :meth:`recover` finds it again after a crash at any point.

    Arguments:
        db: the daemon's database.
        prefix: of this daemon, at most 7 characters.
        state_dir: S; pods' namespaces are pinned below ``S/netns``.
    """

    def __init__(
        self, *, db: Database, prefix: str, state_dir: str, config: NetworkConfig
    ) -> None:
        self._db = db

    async def recover(self, live: Collection[str]) -> None:
        """Load the records, then make kernel and records agree; before anything else.

        Arguments:
            live: ids of containers and pods whose monitor lives. What belongs to others
                is detached; what bears the prefix and is on no record is removed.
        """
        raise Unimplemented("networks")

    async def attach(
        self,
        container_id: str,
        *,
        netns_fd: int,
        netlink_fd: int,
        network: str = "bridge",
        ports: Sequence[Port] = (),
        mac_address: str = "",
    ) -> Attached:
        """Connect a network namespace: interface, address, default route, published ports.

        Undoes everything if it fails. The bridge is made at the first call.

        Arguments:
            netns_fd: of the container's namespace; stays the caller's.
            netlink_fd: a NETLINK_ROUTE socket opened inside it; stays the caller's.
            network: ``bridge`` (or ``default``), or ``none`` (only the loopback interface
                is brought up).
        Raises:
            FailedPrecondition: a port is in use (named, with its holder where it is ours).
            ResourceExhausted: no address is left.
            NotFound: there is no such network.
        """
        raise Unimplemented("networks")

    async def detach(self, container_id: str) -> None:
        """Take back interface, address and ports of a container; idempotent."""
        raise Unimplemented("networks")

    def attachments(self, container_id: str) -> Sequence[Attachment]:
        """The container's attachments; from memory."""
        raise Unimplemented("networks")

    def networks(self) -> Sequence[Network]:
        """``bridge``, ``host`` and ``none``."""
        raise Unimplemented("networks")

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
    ) -> PodNetwork:
        """Pin the namespace at ``S/netns/cni-UUID`` and run the CNI plugins' ADD.

        Undoes everything (DEL, unpin) if it fails; idempotent by ``pod_id``.

        Raises:
            FailedPrecondition: no usable CNI configuration; the path is named.
            Unavailable, DeadlineExceeded, InvalidArgument: a plugin's answer.
        """
        raise Unimplemented("networks")

    async def remove_pod(self, pod_id: str) -> None:
        """Run the plugins' DEL, then unpin; idempotent."""
        raise Unimplemented("networks")

    async def check_pod(self, pod_id: str) -> None:
        """Run the plugins' CHECK; raises what a plugin complains of."""
        raise Unimplemented("networks")

    def pod_network(self, pod_id: str) -> PodNetwork | None:
        """The pod's network, from memory."""
        raise Unimplemented("networks")

    async def pod_status(self) -> PodNetworkStatus:
        """Whether a pod can get a network now (configuration, plugins, STATUS)."""
        raise Unimplemented("networks")

    async def close(self) -> None:
        """End threads and sockets; containers and their networks stay."""
