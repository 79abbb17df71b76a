"""How containers are joined to networks: ``EndpointsConfig`` in, ``EndpointSettings`` out.
No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from corten.dockerapi.requests import CreateBody, Endpoint
from corten.dockerapi.versions import Version
from corten.engine.types import Container, NetworkRequest
from corten.engine.types import Endpoint as EndpointRecord
from corten.errors import InvalidArgument, Unimplemented

_OPTIONS = "com.docker.network.endpoint."  # those that dockerd heeds; others it only shows


def requests(body: CreateBody) -> tuple[NetworkRequest, ...] | None:
    """``NetworkingConfig`` of a container that is made.

    Raises:
        Unimplemented: what would be dropped otherwise.
    """
    given = (body.networking_config and body.networking_config.endpoints_config) or {}
    return tuple(request(name, endpoint) for name, endpoint in given.items()) or None


def mac_address(body: CreateBody) -> str:
    """The address asked for, in the old place or in the new one."""
    given = (body.networking_config and body.networking_config.endpoints_config) or {}
    found = [one.mac_address for one in given.values() if one is not None and one.mac_address]
    return found[0] if found else body.mac_address or ""


def request(network: str, endpoint: Endpoint | None) -> NetworkRequest:
    """One network to join. Raises as :func:`requests`."""
    if endpoint is None:
        return NetworkRequest(network=network)
    for option in endpoint.driver_opts or ():
        if option.startswith(_OPTIONS):
            raise Unimplemented(f"the network option {option} is not implemented by corten yet")
    ipam = endpoint.ipam_config
    if ipam is not None and ipam.link_local_ips:
        raise Unimplemented("NetworkingConfig: LinkLocalIPs is not implemented by corten yet")
    return NetworkRequest(
        network=network,
        aliases=tuple(dict.fromkeys(endpoint.aliases or ())),
        ipv4=(ipam and ipam.ipv4_address) or "",
        ipv6=(ipam and ipam.ipv6_address) or "",
        mac_address=endpoint.mac_address or "",
        priority=endpoint.gw_priority or 0,
        driver_options=endpoint.driver_opts or {},
        links=links(endpoint.links),
    )


def links(given: Iterable[str] | None) -> tuple[str, ...]:
    """``TARGET:ALIAS`` of each; a target alone is its own alias.

    Raises:
        InvalidArgument: in dockerd's words.
    """
    found = []
    for text in given or ():
        target, colon, alias = text.partition(":")
        if not target or (colon and not alias) or ":" in alias:
            raise InvalidArgument(f"bad format for links: {text}")
        target = target.removeprefix("/")
        found.append(f"{target}:{alias.rpartition('/')[2] or target}")
    return tuple(dict.fromkeys(found))


def networks(record: Container, version: Version) -> dict[str, dict[str, Any]]:
    """``Networks`` by name: what was asked for, and what there is while it runs."""
    # Since 1.45 the short id is in DNSNames alone.
    short = record.id[:12] if version < (1, 45) else ""
    found = {entry.network: entry for entry in record.endpoints}
    wanted = _wanted(record)
    return {
        name: settings(found.get(name) or EndpointRecord(network=name), wanted.get(name), short)
        for name in names(record)
    }


def names(record: Container) -> list[str]:
    """The networks that a container is, or is to be, connected to."""
    return sorted({*(entry.network for entry in record.endpoints), *_wanted(record)})


def _wanted(record: Container) -> dict[str, NetworkRequest]:
    mode = record.config.namespaces.network
    asked = record.config.networks
    if asked is None or mode in ("host", "none"):
        name = "bridge" if mode in ("default", "private", "") else mode
        asked = () if mode.startswith("container:") else (NetworkRequest(network=name),)
    return {one.network: one for one in asked}


def settings(
    record: EndpointRecord, wanted: NetworkRequest | None = None, short_id: str = ""
) -> dict[str, Any]:
    """``EndpointSettings`` of one network."""
    return {
        "IPAMConfig": _ipam(wanted),
        "Links": list(wanted.links) or None if wanted else None,
        "Aliases": _aliases(record, wanted, short_id),
        "MacAddress": record.mac_address or (wanted.mac_address if wanted else ""),
        "DriverOpts": (wanted.driver_options or None) if wanted else None,
        "GwPriority": wanted.priority if wanted else 0,
        "NetworkID": record.network_id,
        "EndpointID": record.endpoint_id,
        "Gateway": record.gateway4,
        "IPAddress": record.ipv4,
        "IPPrefixLen": record.ipv4_prefix,
        "IPv6Gateway": record.gateway6,
        "GlobalIPv6Address": record.ipv6,
        "GlobalIPv6PrefixLen": record.ipv6_prefix,
        "DNSNames": list(record.dns_names) or None,
    }


def _ipam(wanted: NetworkRequest | None) -> dict[str, str] | None:
    if wanted is None or not (wanted.ipv4 or wanted.ipv6):
        return None
    both = (("IPv4Address", wanted.ipv4), ("IPv6Address", wanted.ipv6))
    return {name: address for name, address in both if address}


def _aliases(
    record: EndpointRecord, wanted: NetworkRequest | None, short_id: str
) -> list[str] | None:
    if record.network in ("bridge", "host", "none"):
        return None
    shown = (*(wanted.aliases if wanted else ()), *([short_id] if short_id else []))
    return list(dict.fromkeys(shown)) or None
