"""Networks: make, look at, connect, remove."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

from aiohttp import web

from corten.dockerapi import endpoints, query
from corten.dockerapi.call import TENANT, Call, empty, json
from corten.dockerapi.requests import ConnectBody, DisconnectBody, IpamConfig, NetworkBody
from corten.dockerapi.times import ZERO, rfc3339
from corten.dockerapi.versions import Version
from corten.engine.contract import Network, NetworkSpec
from corten.engine.types import Container
from corten.errors import InvalidArgument, NotFound, Unimplemented

_FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")
_PRUNE_FILTERS = ("label", "label!", "until")


async def list_networks(call: Call) -> web.Response:
    """``GET /networks``."""
    wanted = call.filters(*_FILTERS)
    found = call.engine.list_networks(TENANT)
    used = {e.network_id for c in call.engine.list_containers(TENANT) for e in c.endpoints}
    shown = [document(network, call.version) for network in found]
    return json(
        [network for network in shown if matches(network, wanted, used=network["Id"] in used)]
    )


async def inspect_network(call: Call) -> web.Response:
    """``GET /networks/{id}``: by name, id, or a part of the id."""
    network = call.engine.get_network(TENANT, call.params["id"])
    shown = document(network, call.version)
    for record in call.engine.list_containers(TENANT):
        shown["Containers"] |= _member(record, network.id)
    return json(shown)


async def create_network(call: Call) -> web.Response:
    """``POST /networks/create``."""
    body = await call.body(NetworkBody)
    network = await call.engine.create_network(TENANT, spec(body))
    return json({"Id": network.id, "Warning": ""}, 201)


async def remove_network(call: Call) -> web.Response:
    """``DELETE /networks/{id}``."""
    await call.engine.remove_network(TENANT, call.params["id"])
    return empty()


async def connect(call: Call) -> web.Response:
    """``POST /networks/{id}/connect``."""
    body = await call.body(ConnectBody)
    network = call.engine.get_network(TENANT, call.params["id"])
    request = endpoints.request(network.name, body.endpoint_config)
    await call.engine.connect_network(TENANT, body.container, request)
    return empty(200)


async def disconnect(call: Call) -> web.Response:
    """``POST /networks/{id}/disconnect``."""
    body = await call.body(DisconnectBody)
    await call.engine.disconnect_network(
        TENANT, body.container, call.params["id"], force=bool(body.force)
    )
    return empty(200)


async def prune_networks(call: Call) -> web.Response:
    """``POST /networks/prune``."""
    wanted = call.filters(*_PRUNE_FILTERS)
    removed = await call.engine.prune_networks(TENANT, _prunable(wanted))
    return json({"NetworksDeleted": [network.name for network in removed] or None})


async def no_plugin(call: Call) -> web.Response:
    """``GET /plugins/{name}/json``: there are no plugins."""
    raise NotFound(f'plugin "{call.params["name"]}" not found')


def spec(body: NetworkBody) -> NetworkSpec:
    """What to make. No I/O.

    Raises:
        InvalidArgument: subnets that do not fit.
        Unimplemented: what would be dropped otherwise.
    """
    if body.ingress or body.config_only or (body.config_from or {}).get("Network"):
        raise Unimplemented("networks of swarm mode are not implemented by corten yet")
    if body.scope not in (None, "", "local"):
        raise Unimplemented(f"networks of scope {body.scope} are not implemented by corten yet")
    if body.enable_ipv4 is False:
        raise Unimplemented("networks without IPv4 are not implemented by corten yet")
    ipam = body.ipam
    if ipam is not None and (ipam.driver or "default") not in ("default", "null"):
        raise NotFound(f'plugin "{ipam.driver}" not found')
    parts: dict[str, Any] = {"aux": {}}
    for given in (ipam and ipam.config) or ():
        parts |= _subnet(given, parts)
    return NetworkSpec(
        name=body.name,
        driver=body.driver or "bridge",
        ipv6=bool(body.enable_ipv6),
        internal=bool(body.internal),
        attachable=bool(body.attachable),
        labels=body.labels or {},
        options=body.options or {},
        ipam_options=None if ipam is None else ipam.options,
        **parts,
    )


def _subnet(given: IpamConfig, before: dict[str, Any]) -> dict[str, Any]:
    subnet = given.subnet or ""
    if not subnet:
        if given.gateway or given.ip_range:
            raise InvalidArgument("every ip-range or gateway must have a corresponding subnet")
        return {}
    try:
        version = ip_network(subnet, strict=False).version
    except ValueError:
        raise InvalidArgument(f"Invalid subnet {subnet} : invalid CIDR address: {subnet}") from None
    if f"subnet{version}" in before:
        raise Unimplemented(f"several IPv{version} subnets are not implemented by corten yet")
    return {
        f"subnet{version}": subnet,
        f"gateway{version}": given.gateway or "",
        f"range{version}": given.ip_range or "",
        "aux": {**before["aux"], **(given.aux_addresses or {}), **(given.aux_address or {})},
    }


def _prunable(wanted: query.Filters) -> Callable[[Network], bool]:
    until = 0
    for text in wanted.get("until", ()):
        until = query.moment(text, time.time_ns())

    def test(network: Network) -> bool:
        return (
            (not until or network.created_at <= until)
            and query.match_labels(wanted.get("label", ()), network.labels)
            and not any(query.match_labels([w], network.labels) for w in wanted.get("label!", ()))
        )

    return test


def matches(network: dict[str, Any], wanted: query.Filters, *, used: bool = False) -> bool:
    """Whether a network passes the filters. No I/O."""
    built_in = network["Name"] in ("bridge", "host", "none")
    dangling = not used and not built_in
    tests = {
        "dangling": lambda values: dangling == bool({"true", "1"} & set(values)),
        "driver": lambda values: network["Driver"] in values,
        "id": lambda values: any(network["Id"].startswith(value) for value in values),
        "label": lambda values: query.match_labels(values, network["Labels"]),
        "name": lambda values: any(value in network["Name"] for value in values),
        "scope": lambda values: network["Scope"] in values,
        "type": lambda values: ("builtin" if built_in else "custom") in values,
    }
    for value in wanted.get("type", ()):
        if value not in ("builtin", "custom"):
            raise InvalidArgument(f"invalid filter 'type={value}'")
    return all(tests[name](values) for name, values in wanted.items())


def document(network: Network, version: Version) -> dict[str, Any]:
    """A network in docker's shape, without its containers. No I/O."""
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": rfc3339(network.created_at) if network.created_at else ZERO,
        "Scope": "local",
        "Driver": network.driver,
        **({"EnableIPv4": True} if version >= (1, 48) else {}),
        "EnableIPv6": bool(network.subnet6),
        "IPAM": {
            "Driver": "default",
            "Options": network.ipam_options,
            "Config": _ipam(network),
        },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Options": _default_options(network) if network.built_in else network.options,
        "Labels": network.labels,
        "Containers": {},
    }


def _default_options(network: Network) -> dict[str, str]:
    """What dockerd shows of its default bridge, for clients that look there."""
    if network.driver != "bridge":
        return {}
    bridge = "com.docker.network.bridge."
    return {
        f"{bridge}default_bridge": "true",
        f"{bridge}enable_icc": "true",
        f"{bridge}enable_ip_masquerade": "true",
        f"{bridge}host_binding_ipv4": "0.0.0.0",
        f"{bridge}name": network.interface,
        "com.docker.network.driver.mtu": str(network.mtu or 1500),
    }


def _ipam(network: Network) -> list[dict[str, Any]]:
    found = []
    gateway6 = network.gateway6 if network.own_gateway6 else ""
    for subnet, part, gateway in (
        (network.subnet4, network.range4, network.gateway4),
        (network.subnet6, network.range6, gateway6),
    ):
        if not subnet:
            continue
        aux = {n: a for n, a in network.aux.items() if ip_address(a) in ip_network(subnet)}
        fields = {"Subnet": subnet, "IPRange": part, "Gateway": gateway, "AuxiliaryAddresses": aux}
        found.append({name: value for name, value in fields.items() if value})
    return found


def _member(record: Container, network_id: str) -> dict[str, Any]:
    if record.state.status not in ("running", "paused", "restarting"):
        return {}
    entry = next((e for e in record.endpoints if e.network_id == network_id), None)
    if entry is None:
        return {}
    shown = {
        "Name": record.name,
        "EndpointID": entry.endpoint_id,
        "MacAddress": entry.mac_address,
        "IPv4Address": f"{entry.ipv4}/{entry.ipv4_prefix}" if entry.ipv4 else "",
        "IPv6Address": f"{entry.ipv6}/{entry.ipv6_prefix}" if entry.ipv6 else "",
    }
    return {record.id: shown}
