"""The part of an explanation that is about networks: interfaces, and elements of our table."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from corten.engine.explaining.types import Link, Rule
from corten.networks.segment import forwards_of, rules_of
from corten.networks.types import Attachment, Network


def links(attachments: Sequence[Attachment]) -> list[Link]:
    """Both ends of each veth."""
    found = []
    for one in attachments:
        addresses = [f"{one.ipv4}/{one.ipv4_prefix}"] if one.ipv4 else []
        addresses += [f"{one.ipv6}/{one.ipv6_prefix}"] if one.ipv6 else []
        found.append(
            Link(
                name=one.interface,
                what=f"inside, on network {one.network}, {one.mac_address}",
                addresses=tuple(addresses),
            )
        )
        found.append(Link(name=one.host_interface, what="its other end, on the machine's bridge"))
    return found


def rules(attachments: Sequence[Attachment], table: str) -> list[Rule]:
    """Elements of the maps of published ports, and what the monitor listens at."""
    found = []
    for one in attachments:
        for forward in forwards_of(one):
            found.append(Rule(where=f"table inet {table}, map {forward.map()}",
                              what=forward.element()))  # fmt: skip
        for port in one.ports:
            host = f"[{port.host_ip}]" if ":" in port.host_ip else port.host_ip
            what = f"{host}:{port.host_port}/{port.protocol}, for what comes by the loopback"
            found.append(Rule(where="a socket of the monitor", what=what))
    return found


def rules_of_network(network: Network, table: str) -> list[Rule]:
    """Elements that stand for its bridge, once there is one."""
    if network.driver != "bridge" or not _is_there(network.interface):
        return []
    if network.nat == "relay":
        return [Rule(where="no rules", what=network.nat_problem)]
    where = f"table inet {table}, set "
    return [
        Rule(where=where + name, what=element) for name, element in rules_of(network).elements()
    ]


def _is_there(interface: str) -> bool:
    """Asked in our own network namespace; sysfs may show another one's."""
    try:
        socket.if_nametoindex(interface)
    except OSError:
        return False
    return True
