"""A container's connection to its networks, from its namespace to the published sockets."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from corten.engine.netns import Netns
from corten.engine.specgen.namespaces import own_network
from corten.engine.types import Container, ContainerConfig, Endpoint, NetworkRequest, PortBinding
from corten.launch.messages import Create, Published
from corten.networks.service import NetworkService
from corten.networks.types import Attached, Attachment, Network, Port, Wanted
from corten.spec._struct import replace

_DEFAULT = ("default", "private", "")


def all_requests(config: ContainerConfig) -> tuple[NetworkRequest, ...]:
    """For a new container: the network of its mode first, then those named besides. No I/O."""
    mode = config.namespaces.network
    if not own_network(config.namespaces) or mode == "none":
        return ()
    main = network_name(mode)
    given = {network_name(r.network): r for r in config.networks or ()}
    first = given.pop(main, None) or NetworkRequest(network=main)
    if config.mac_address and not first.mac_address:
        first = msgspec.structs.replace(first, mac_address=config.mac_address)
    every = (first, *given.values())
    return tuple(msgspec.structs.replace(r, network=network_name(r.network)) for r in every)


def requests_of(config: ContainerConfig) -> tuple[NetworkRequest, ...]:
    """To which networks a container is (to be) connected. No I/O."""
    return all_requests(config) if config.networks is None else config.networks


def network_name(text: str) -> str:
    """``default`` is the bridge."""
    return "bridge" if text in _DEFAULT else text


def names_of(record: Container, request: NetworkRequest) -> tuple[str, ...]:
    """Under which the container is found on a network: its name first."""
    return tuple(dict.fromkeys((record.name, *request.aliases, record.id[:12])))


def router(found: Sequence[tuple[NetworkRequest, Network]]) -> str:
    """The id of the network that has the default route and the published ports: one with a
    way to the outside, of the highest priority, then the first by name, as with dockerd."""
    outward = [(r, n) for r, n in found if not n.internal and n.driver == "bridge"]
    if not outward:
        return ""
    return min(outward, key=lambda pair: (-pair[0].priority, pair[1].name))[1].id


class Plug:
    """One container's network namespace and its attachments.

    Attributes:
        fd: the namespace, -1 where the container has none of its own.
        ports: what is to be published.
        attaches: it gets an interface (not for ``none``).
        embedded: names are asked of the daemon's own resolver.
        addresses, gateway, endpoints: known after :meth:`attach`.
    """

    def __init__(self, networks: NetworkService, record: Container, space: Netns | None) -> None:
        self._networks = networks
        self._record = record
        self._space = space
        self._attached: list[Attached] = []
        self._found = [
            (request, networks.find(request.network))
            for request in (requests_of(record.config) if space is not None else ())
        ]
        self.fd = -1 if space is None else space.fd
        self.attaches = bool(self._found)
        self.embedded = any(not network.built_in for _, network in self._found)
        self.ports = _wanted_ports(record) if router(self._found) else ()
        self.addresses: tuple[str, ...] = ()
        self.gateway = ""
        self.endpoints: tuple[Endpoint, ...] = ()

    async def attach(self) -> None:
        """Interfaces, addresses, routes, ports. What fails is undone by the run's end."""
        if self._space is None:
            return
        through = router(self._found)
        for request, network in self._found:
            wanted = wanted_of(self._record, request, routes=network.id == through)
            if network.id == through:
                wanted = msgspec.structs.replace(wanted, ports=self.ports)
            made = await self._networks.attach(
                self._record.id,
                netns_fd=self._space.fd,
                netlink_fd=self._space.netlink,
                network=network.id,
                wanted=wanted,
            )
            if made is not None:
                self._attached.append(made)
        found = [made.attachment for made in self._attached]
        self.addresses = tuple(a for one in found for a in (one.ipv4, one.ipv6) if a)
        self.gateway = next((one.gateway4 for one in found if one.network_id == through), "")
        self.endpoints = tuple(endpoint_of(one) for one in found)

    def publish(
        self, request: Create, descriptors: dict[str, int]
    ) -> tuple[Create, dict[str, int]]:
        """The request with the listening sockets that the monitor will hold."""
        targets: list[dict[str, object]] = []
        sockets: dict[str, int] = {}
        for listener in [one for made in self._attached for one in made.listeners]:
            address, port = listener.target
            sockets[f"published.{len(targets)}"] = listener.socket.fileno()
            targets.append(Published(address=address, port=port).to_dict())
        return replace(request, published=tuple(targets)), {**descriptors, **sockets}

    def close(self) -> None:
        """Close our copies of the published sockets."""
        for made in self._attached:
            made.close()


def wanted_of(record: Container, request: NetworkRequest, *, routes: bool) -> Wanted:
    """What the networks are told of a request."""
    return Wanted(
        mac_address=request.mac_address,
        ipv4=request.ipv4,
        ipv6=request.ipv6,
        default_route=routes,
        names=names_of(record, request),
        links=request.links,
    )


def _wanted_ports(record: Container) -> tuple[Port, ...]:
    config = record.config
    wanted = [
        Port(
            container_port=binding.container_port,
            protocol=binding.protocol or "tcp",
            host_ip=binding.host_ip,
            host_port=binding.host_port,
            host_port_end=binding.host_port_end,
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


def endpoint_of(found: Attachment) -> Endpoint:
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
        dns_names=found.names,
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


def endpoints_of(networks: NetworkService, container_id: str) -> tuple[Endpoint, ...]:
    """The container's endpoints as the networks know them."""
    return tuple(endpoint_of(found) for found in networks.attachments(container_id))
