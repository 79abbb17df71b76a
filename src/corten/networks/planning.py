"""From what somebody asks for to the record of a new network: checks and choices, no I/O."""

from __future__ import annotations

import time
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from corten.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from corten.networks.addresses import (
    AnyNetwork,
    gateway_of,
    parse_address,
    parse_cidr,
)
from corten.networks.options import Options
from corten.networks.segment import choose
from corten.networks.types import Network, NetworkConfig, NetworkSpec

BUILT_IN = (("bridge", "bridge"), ("host", "host"), ("none", "null"))  # name, driver
_RESERVED = ("bridge", "host", "none", "default")
_DRIVERS = ("bridge", "host", "null")
_OVERLAP = "Pool overlaps with other one on this address space"


def check_driver(spec: NetworkSpec) -> None:
    """Whether a network of this name and driver can be made.

    Raises:
        InvalidArgument, NotFound, PermissionDenied: in dockerd's words.
    """
    if not spec.name or spec.name != spec.name.strip():
        raise InvalidArgument(f"invalid network name: {spec.name!r}")
    if spec.name in _RESERVED:
        raise PermissionDenied(f"operation is not permitted on predefined {spec.name} network")
    if spec.driver not in _DRIVERS:
        raise NotFound(f'plugin "{spec.driver}" not found')
    if spec.driver != "bridge":
        raise PermissionDenied(f'only one instance of "{spec.driver}" network is allowed')


def plan(
    spec: NetworkSpec,
    *,
    ident: str,
    interface: str,
    tenant: str,
    config: NetworkConfig,
    mtu: int,
    ours: Sequence[AnyNetwork],
    taken: Sequence[AnyNetwork],
) -> Network:
    """The record, addresses included.

    Arguments:
        interface: the bridge's name, where the options give none.
        mtu: of the host's way to the outside, bytes.
        ours: subnets of the daemon's other networks: a subnet asked for must not overlap them.
        taken: these and everything the host has a route to: what is chosen overlaps nothing.
    Raises:
        InvalidArgument: addresses that do not fit together.
        FailedPrecondition: the subnet overlaps one of ours.
        ResourceExhausted: none is free.
    """
    options = Options.of(spec)
    wants6 = spec.ipv6 or bool(spec.subnet6)
    subnet4 = _given(spec.subnet4, 4, ours)
    subnet6 = _given(spec.subnet6, 6, ours)
    if subnet4 is None or (wants6 and subnet6 is None):
        chosen4, chosen6 = choose(config, taken, ipv6=wants6 and subnet6 is None)
        subnet4, subnet6 = subnet4 or chosen4, subnet6 or chosen6
    every = [one for one in (subnet4, subnet6) if one is not None]
    for name, address in spec.aux.items():
        if not any(parse_address(address) in one for one in every):
            raise InvalidArgument(f"no matching subnet for aux-address {address} ({name})")
    return Network(
        id=ident,
        name=spec.name,
        driver=spec.driver,
        tenant=tenant,
        interface=options.name or interface,
        subnet4=str(subnet4),
        gateway4=_gateway(spec.gateway4, subnet4),
        range4=_range(spec.range4, subnet4),
        subnet6="" if subnet6 is None else str(subnet6),
        gateway6="" if subnet6 is None else _gateway(spec.gateway6, subnet6),
        range6="" if subnet6 is None else _range(spec.range6, subnet6),
        own_subnet4=bool(spec.subnet4),
        own_subnet6=bool(spec.subnet6),
        own_gateway6=bool(spec.gateway6) or not spec.subnet6,
        aux=spec.aux,
        internal=spec.internal,
        attachable=spec.attachable,
        labels=spec.labels,
        options=spec.options,
        ipam_options=spec.ipam_options,
        mtu=options.mtu or mtu,
        created_at=time.time_ns(),
    )


def _given(text: str, version: int, ours: Sequence[AnyNetwork]) -> AnyNetwork | None:
    if not text:
        return None
    subnet = parse_cidr(text)
    if subnet.version != version:
        raise InvalidArgument(f"{text} is no IPv{version} subnet")
    longest = 30 if version == 4 else 126
    if subnet.prefixlen > longest:
        raise InvalidArgument(f"subnet {text} has no room for a gateway and a container")
    if any(_overlap(subnet, other) for other in ours):
        raise PermissionDenied(_OVERLAP)
    return subnet


def _overlap(one: AnyNetwork, other: AnyNetwork) -> bool:
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.overlaps(other)
    return isinstance(other, IPv6Network) and one.overlaps(other)


def _gateway(text: str, subnet: AnyNetwork) -> str:
    if not text:
        return str(gateway_of(subnet))
    address = parse_address(text, "gateway address")
    if address not in subnet:
        raise InvalidArgument(f"no matching subnet for gateway {text}")
    return str(address)


def _range(text: str, subnet: AnyNetwork) -> str:
    if not text:
        return ""
    part = parse_cidr(text)
    inside = part.version == subnet.version and part.network_address in subnet
    if not inside or part.prefixlen < subnet.prefixlen:
        raise InvalidArgument(f"no matching subnet for range {text}")
    return str(part)


def in_use(network: Network) -> FailedPrecondition:
    """Why a network is not removed, in dockerd's words."""
    return FailedPrecondition(
        f"error while removing network: network {network.name} id {network.id} has active endpoints"
    )
