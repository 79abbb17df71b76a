"""A container's connection to its network, from its namespace to the published sockets."""

from __future__ import annotations

from corten.engine.netns import Netns
from corten.engine.types import Container, Endpoint, PortBinding
from corten.launch.messages import Create, Published
from corten.networks.service import NetworkService
from corten.networks.types import Attached, Attachment, Port
from corten.spec._struct import replace


class Plug:
    """One container's network namespace and its attachment.

    Attributes:
        fd: the namespace, -1 where the container has none of its own.
        ports: what is to be published.
        attaches: it gets an interface (not for ``none``).
        addresses, gateway, endpoints: known after :meth:`attach`.
    """

    def __init__(self, networks: NetworkService, record: Container, space: Netns | None) -> None:
        self._networks = networks
        self._record = record
        self._space = space
        self._attached: Attached | None = None
        self.fd = -1 if space is None else space.fd
        self.attaches = space is not None and record.config.namespaces.network != "none"
        self.ports = _wanted_ports(record) if self.attaches else ()
        self.addresses: tuple[str, ...] = ()
        self.gateway = ""
        self.endpoints: tuple[Endpoint, ...] = ()

    async def attach(self) -> None:
        """Interface, addresses, routes, ports. What fails has undone itself."""
        if not self.attaches or self._space is None:
            return
        record = self._record
        network = record.config.namespaces.network
        self._attached = await self._networks.attach(
            record.id,
            netns_fd=self._space.fd,
            netlink_fd=self._space.netlink,
            network="bridge" if network in ("default", "private") else network,
            ports=self.ports,
            mac_address=record.config.mac_address,
        )
        if self._attached is None:
            return
        found = self._attached.attachment
        self.addresses = tuple(a for a in (found.ipv4, found.ipv6) if a)
        self.gateway = found.gateway4
        self.endpoints = (endpoint_of(found, record),)

    def publish(
        self, request: Create, descriptors: dict[str, int]
    ) -> tuple[Create, dict[str, int]]:
        """The request with the listening sockets that the monitor will hold."""
        assert self._attached is not None
        targets, sockets = [], {}
        for number, listener in enumerate(self._attached.listeners):
            address, port = listener.target
            targets.append(Published(address=address, port=port).to_dict())
            sockets[f"published.{number}"] = listener.socket.fileno()
        return replace(request, published=tuple(targets)), {**descriptors, **sockets}

    def close(self) -> None:
        """Close our copies of the published sockets."""
        if self._attached is not None:
            self._attached.close()


def _wanted_ports(record: Container) -> tuple[Port, ...]:
    config = record.config
    wanted = [
        Port(
            container_port=binding.container_port,
            protocol=binding.protocol or "tcp",
            host_ip=binding.host_ip,
            host_port=binding.host_port,
        )
        for binding in config.ports
    ]
    if config.publish_all:
        bound = {(port.container_port, port.protocol) for port in wanted}
        for exposed in config.exposed_ports:
            number, _, protocol = exposed.partition("/")
            if number.isdecimal() and (int(number), protocol or "tcp") not in bound:
                wanted.append(Port(container_port=int(number), protocol=protocol or "tcp"))
    return tuple(wanted)


def endpoint_of(found: Attachment, record: Container) -> Endpoint:
    """The engine's record of an attachment."""
    return Endpoint(
        network=found.network,
        network_id=found.network_id,
        endpoint_id=found.id,
        interface=found.interface,
        mac_address=found.mac_address,
        ipv4=found.ipv4,
        ipv4_prefix=found.ipv4_prefix,
        gateway4=found.gateway4,
        ipv6=found.ipv6,
        ipv6_prefix=found.ipv6_prefix,
        gateway6=found.gateway6,
        dns_names=(record.id[:12], record.name),
        ports=tuple(
            PortBinding(
                container_port=port.container_port,
                protocol=port.protocol,
                host_ip=port.host_ip,
                host_port=port.host_port,
            )
            for port in found.ports
        ),
    )


def endpoints_of(networks: NetworkService, record: Container) -> tuple[Endpoint, ...]:
    """The container's endpoints as the networks know them."""
    return tuple(endpoint_of(found, record) for found in networks.attachments(record.id))
