"""Explaining a network."""

from __future__ import annotations

from corten.engine.explaining import attached
from corten.engine.explaining.types import Explanation, Link, Place, Related, Removal
from corten.engine.networking import requests_of
from corten.engine.parts import Parts
from corten.engine.types import Container
from corten.networks.types import Attachment, Network


async def explain(parts: Parts, network: Network) -> Explanation:
    """See ``contract.Engine.explain``."""
    ends = [
        end
        for one in sorted(parts.networks.attached())
        for end in parts.networks.attachments(one)
        if end.network_id == network.id
    ]
    users = [c for c in parts.view.containers.values() if _wants(c, network)]
    named = network.driver == "bridge" and not network.built_in
    names = f"{parts.settings.state}/names/{network.id}"
    places = (Place(what="its table of names", path=names, goes="yes"),) if named and ends else ()
    return Explanation(
        kind="network",
        id=network.id,
        name=network.name,
        tenant=network.tenant,
        what=_what(network, len(ends)),
        places=places,
        links=_links(network, ends),
        rules=(
            *attached.rules_of_network(network, parts.settings.prefix),
            *attached.rules(ends, parts.settings.prefix),
        ),
        related=tuple(
            Related(kind="container", id=c.id, name=c.name, how=f"connected, {c.state.status}")
            for c in users
        ),
        removal=_removal(network, [parts.view.containers[e.container_id].name for e in ends
                                   if e.container_id in parts.view.containers]),
    )  # fmt: skip


def _wants(record: Container, network: Network) -> bool:
    same = network.built_in or record.tenant == network.tenant
    return same and any(r.network in (network.name, network.id) for r in requests_of(record.config))


def _what(network: Network, ends: int) -> str:
    if network.driver == "host":
        return "the machine's own network, shared by containers with --network host"
    if network.driver == "null":
        return "no network: a loopback interface only"
    kind = "the default bridge" if network.built_in else "a bridge network"
    inner = ", without a way to the outside" if network.internal else ""
    subnets = " and ".join(s for s in (network.subnet4, network.subnet6) if s)
    subnets = f" {subnets}" if subnets else ""
    return f"{kind}{subnets}{inner}; {ends} interface(s) on it"


def _links(network: Network, ends: list[Attachment]) -> tuple[Link, ...]:
    if network.driver != "bridge":
        return ()
    gateways = tuple(g for g in (network.gateway4, network.gateway6) if g)
    there = "the bridge on the machine" + ("" if ends else "; made when a container needs it")
    return (
        Link(name=network.interface, what=there, addresses=gateways),
        *(
            Link(
                name=end.host_interface,
                what=f"port of the bridge, to {(*end.names, end.container_id[:12])[0]}",
                addresses=tuple(a for a in (end.ipv4, end.ipv6) if a),
            )
            for end in ends
        ),
    )


def _removal(network: Network, users: list[str]) -> Removal:
    if network.built_in:
        return Removal(command="", obstacle="it is built in")
    return Removal(
        command=f"corten network rm {network.name}",
        obstacle=f"connected to it: {', '.join(users)}" if users else "",
        takes=("the bridge, its addresses, its elements in the table of rules, its names",),
        leaves=("the containers that were made with it, which can't start without it",),
        frees=None,
    )
