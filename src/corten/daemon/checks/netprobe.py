"""A program that finds out by doing what a network namespace of its own can hold.

Everything it makes goes with it. Standard output: a JSON object, by check why it does not work,
empty where it does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from ipaddress import IPv4Interface
from pathlib import Path

from corten.errors import CortenError
from corten.kernel import namespaces
from corten.kernel.libnftables import Nftables
from corten.networks import host, links
from corten.networks.firewall import BridgeRules, Forward, ruleset
from corten.networks.rtnl import Rtnl

_BRIDGE = "ctprobe0"
_MAC = "02:42:00:00:00:01"


def main() -> None:
    """Entry point of the program."""
    answers = {"network namespaces": _why_not(lambda: namespaces.unshare(namespaces.CLONE_NEWNET))}
    if not answers["network namespaces"]:  # never in the machine's own
        answers["bridges"] = _why_not(_bridge)
        answers["veth"] = _why_not(_veth)
        answers["nftables"] = _why_not(_rules)
        ipv6 = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").exists()
        answers["IPv6"] = "" if ipv6 else "switched off"
    sys.stdout.write(json.dumps(answers))


def _why_not(function: Callable[[], object]) -> str:
    try:
        function()
    except (CortenError, OSError) as error:
        return str(error) or type(error).__name__
    return ""


def _bridge() -> None:
    host.make_bridge(_BRIDGE, IPv4Interface("192.0.2.1/24"), mtu=1500, mac=_MAC)


def _veth() -> None:
    fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with Rtnl.open() as rtnl:
            bridge = links.get_link(rtnl, _BRIDGE)
            rtnl.request(
                links.add_veth(
                    "ctprobe1",
                    master=bridge.number if bridge else 0,
                    mtu=1500,
                    peer="ctprobe2",
                    peer_mac=_MAC,
                    peer_netns_fd=fd,
                )
            )
    finally:
        os.close(fd)


def _rules() -> None:
    """The daemon's own table, with one of everything."""
    bridge = BridgeRules(_BRIDGE, "192.0.2.0/24")
    forward = Forward("tcp", "0.0.0.0", 8080, "192.0.2.2", 80)
    nft = Nftables()
    try:
        nft.run(ruleset("ctprobe", [bridge], [forward]))
    finally:
        nft.close()
