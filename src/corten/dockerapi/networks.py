"""Networks, as far as there are any: the three that docker has from the start."""

from __future__ import annotations

import hashlib
from typing import Any

from aiohttp import web

from corten.dockerapi import query
from corten.dockerapi.call import TENANT, Call, json
from corten.dockerapi.times import ZERO
from corten.engine.types import Container
from corten.errors import NotFound

_DRIVERS = {"bridge": "bridge", "host": "host", "none": "null"}
_FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")


async def list_networks(call: Call) -> web.Response:
    """``GET /networks``."""
    wanted = call.filters(*_FILTERS)
    shown = [_network(call, name, containers=False) for name in _DRIVERS]
    return json([network for network in shown if matches(network, wanted)])


async def inspect_network(call: Call) -> web.Response:
    """``GET /networks/{id}``: by name, id, or a part of the id."""
    ref = call.params["id"]
    for name in _DRIVERS:
        network = _network(call, name, containers=True)
        if ref == name or network["Id"].startswith(ref):
            return json(network)
    raise NotFound(f"network {ref} not found")


async def no_plugin(call: Call) -> web.Response:
    """``GET /plugins/{name}/json``: there are no plugins."""
    raise NotFound(f'plugin "{call.params["name"]}" not found')


def matches(network: dict[str, Any], wanted: query.Filters) -> bool:
    """Whether a network passes the filters. No I/O."""
    tests = {
        "dangling": lambda values: not {"true", "1"} & set(values),
        "driver": lambda values: network["Driver"] in values,
        "id": lambda values: any(network["Id"].startswith(value) for value in values),
        "label": lambda values: query.match_labels(values, network["Labels"]),
        "name": lambda values: any(value in network["Name"] for value in values),
        "scope": lambda values: network["Scope"] in values,
        "type": lambda values: "builtin" in values,
    }
    return all(tests[name](values) for name, values in wanted.items())


def _network(call: Call, name: str, *, containers: bool) -> dict[str, Any]:
    facts: dict[str, Any] = (call.engine.info().get("networks") or {}).get(name) or {}
    ident = facts.get("id") or hashlib.sha256(f"corten network {name}".encode()).hexdigest()
    ipam = [
        {key: str(value) for key, value in (("Subnet", subnet), ("Gateway", gateway)) if value}
        for subnet, gateway in (
            (facts.get("subnet4"), facts.get("gateway4")),
            (facts.get("subnet6"), facts.get("gateway6")),
        )
        if subnet
    ]
    network: dict[str, Any] = {
        "Name": name,
        "Id": ident,
        "Created": facts.get("created") or ZERO,
        "Scope": "local",
        "Driver": _DRIVERS[name],
        "EnableIPv4": True,
        "EnableIPv6": bool(facts.get("subnet6")),
        "IPAM": {"Driver": "default", "Options": None, "Config": ipam},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Options": facts.get("options") or {},
        "Labels": {},
        "Containers": {},
    }
    if containers:
        for record in call.engine.list_containers(TENANT):
            network["Containers"] |= _member(record, name)
    return network


def _member(record: Container, network: str) -> dict[str, Any]:
    if record.state.status not in ("running", "paused"):
        return {}
    entry = next((entry for entry in record.endpoints if entry.network == network), None)
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
