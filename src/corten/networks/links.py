"""Links, addresses and routes as rtnetlink messages, and what dumps say about them.

Functions that return a :class:`Message` touch nothing; the constants are those of
linux/rtnetlink.h, if_link.h and if_addr.h.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_interface,
    ip_network,
)
from typing import NamedTuple

from corten.networks.rtnl import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Message,
    Rtnl,
    attribute,
    attributes,
    nested,
    text,
    u32,
)

AnyInterface = IPv4Interface | IPv6Interface

_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR = 20, 21, 22
_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26

_IFF_UP = 1
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU = 1, 3, 4
_IFLA_MASTER, _IFLA_LINKINFO, _IFLA_AF_SPEC, _IFLA_NET_NS_FD = 10, 18, 26, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_INFO_SLAVE_KIND, _IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
_IFLA_BRPORT_MODE, _IFLA_BRPORT_ISOLATED = 4, 33
_VETH_INFO_PEER = 1
_IFLA_INET6_ADDR_GEN_MODE, _ADDR_GEN_NONE = 8, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_F_NODAD = 1, 2, 4, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_TABLE = 1, 4, 5, 15
_RT_TABLE_MAIN, _RTPROT_BOOT, _RTN_UNICAST, _RT_SCOPE_UNIVERSE = 254, 3, 1, 0

_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, mask of changes
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, dst len, src len, tos, table, proto, scope, type


class Link(NamedTuple):
    """An interface; ``kind`` is empty for hardware."""

    number: int
    name: str
    kind: str
    master: int
    mtu: int
    mac_address: str
    up: bool


class Route(NamedTuple):
    """A route; ``interface`` is an index, 0 where there is none or several."""

    destination: IPv4Network | IPv6Network
    interface: int
    table: int


def mac_bytes(mac: str) -> bytes:
    """``02:42:ac:11:00:02`` as six bytes."""
    return bytes.fromhex(mac.replace(":", ""))


# --- messages -----------------------------------------------------------------------------


def _link_body(*, index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return _LINK.pack(socket.AF_UNSPEC, 0, index, flags, change)


def add_bridge(name: str, *, mtu: int, mac: str) -> Message:
    """A bridge, down. Its address is fixed: else it changes with every port."""
    body = (
        _link_body()
        + text(_IFLA_IFNAME, name)
        + u32(_IFLA_MTU, mtu)
        + attribute(_IFLA_ADDRESS, mac_bytes(mac))
        + nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "bridge"))
    )
    return Message(_RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"add bridge {name}")


def add_veth(
    name: str, *, master: int, mtu: int, peer: str, peer_mac: str, peer_netns_fd: int
) -> Message:
    """A veth pair in one step: our end a down port of the bridge, the other inside."""
    inside = (
        _link_body()
        + text(_IFLA_IFNAME, peer)
        + u32(_IFLA_MTU, mtu)
        + attribute(_IFLA_ADDRESS, mac_bytes(peer_mac))
        + u32(_IFLA_NET_NS_FD, peer_netns_fd)
    )
    body = (
        _link_body()
        + text(_IFLA_IFNAME, name)
        + u32(_IFLA_MTU, mtu)
        + u32(_IFLA_MASTER, master)
        + nested(
            _IFLA_LINKINFO,
            text(_IFLA_INFO_KIND, "veth"),
            nested(_IFLA_INFO_DATA, nested(_VETH_INFO_PEER, inside)),
        )
    )
    return Message(_RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"add veth {name}")


def set_up(name: str) -> Message:
    body = _link_body(flags=_IFF_UP, change=_IFF_UP) + text(_IFLA_IFNAME, name)
    return Message(_RTM_NEWLINK, 0, body, f"bring up {name}")


def set_master(name: str, master: int) -> Message:
    """Make a link a port of a bridge."""
    body = _link_body() + text(_IFLA_IFNAME, name) + u32(_IFLA_MASTER, master)
    return Message(_RTM_NEWLINK, 0, body, f"connect {name}")


def hairpin(name: str) -> Message:
    """Let the bridge send a frame back through the port that it came from.

    With br_netfilter (dockerd and Kubernetes switch it on) the bridge itself translates and
    forwards what a container sends to its own published port.
    """
    mode = nested(_IFLA_INFO_SLAVE_DATA, attribute(_IFLA_BRPORT_MODE, b"\1"))
    body = (
        _link_body()
        + text(_IFLA_IFNAME, name)
        + nested(_IFLA_LINKINFO, text(_IFLA_INFO_SLAVE_KIND, "bridge"), mode)
    )
    return Message(_RTM_NEWLINK, 0, body, f"set hairpin mode of {name}")


def isolate(name: str) -> Message:
    """Let this port of a bridge exchange frames with the bridge itself only."""
    mode = nested(_IFLA_INFO_SLAVE_DATA, attribute(_IFLA_BRPORT_ISOLATED, b"\1"))
    body = (
        _link_body()
        + text(_IFLA_IFNAME, name)
        + nested(_IFLA_LINKINFO, text(_IFLA_INFO_SLAVE_KIND, "bridge"), mode)
    )
    return Message(_RTM_NEWLINK, 0, body, f"isolate {name}")


def no_link_local(name: str) -> Message:
    """No IPv6 address by itself: on an IPv4 network it would only make traffic.

    Refused where the kernel has no IPv6; then there is nothing to prevent.
    """
    mode = attribute(_IFLA_INET6_ADDR_GEN_MODE, bytes([_ADDR_GEN_NONE]))
    body = (
        _link_body()
        + text(_IFLA_IFNAME, name)
        + nested(_IFLA_AF_SPEC, nested(socket.AF_INET6, mode))
    )
    return Message(_RTM_NEWLINK, 0, body, f"switch off IPv6 autoconfiguration of {name}")


def remove_link(name: str) -> Message:
    return Message(_RTM_DELLINK, 0, _link_body() + text(_IFLA_IFNAME, name), f"remove {name}")


def add_address(index: int, address: AnyInterface) -> Message:
    """An address: IPv4 with its prefix's broadcast address, IPv6 at once usable."""
    broadcast = b""
    if isinstance(address, IPv4Interface):
        broadcast = attribute(_IFA_BROADCAST, address.network.broadcast_address.packed)
    body = _address_body(index, address) + broadcast
    return Message(_RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body, f"add address {address}")


def remove_address(index: int, address: AnyInterface) -> Message:
    return Message(_RTM_DELADDR, 0, _address_body(index, address), f"remove address {address}")


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _address_body(index: int, address: AnyInterface) -> bytes:
    packed = address.ip.packed
    # What is given by us is on no other host: detecting duplicates would cost a second.
    flags = _IFA_F_NODAD if address.version == 6 else 0
    return (
        _ADDRESS.pack(_family(address.version), address.network.prefixlen, flags, 0, index)
        + attribute(_IFA_LOCAL, packed)
        + attribute(_IFA_ADDRESS, packed)
    )


def add_default_route(gateway: IPv4Address | IPv6Address, *, replace: bool = False) -> Message:
    """The default route of the gateway's family.

    Arguments:
        replace: another one may be there, and goes.
    """
    body = _ROUTE.pack(
        _family(gateway.version),
        0,
        0,
        0,
        _RT_TABLE_MAIN,
        _RTPROT_BOOT,
        _RT_SCOPE_UNIVERSE,
        _RTN_UNICAST,
        0,
    ) + attribute(_RTA_GATEWAY, gateway.packed)
    step = f"add default route by {gateway}"
    return Message(
        _RTM_NEWROUTE, NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL), body, step
    )


# --- questions ----------------------------------------------------------------------------


def get_link(rtnl: Rtnl, name: str) -> Link | None:
    """The link of that name, if there is one."""
    message = Message(_RTM_GETLINK, 0, _link_body() + text(_IFLA_IFNAME, name), f"look up {name}")
    try:
        return _parse_link(rtnl.get(message))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise


def list_links(rtnl: Rtnl) -> list[Link]:
    return [_parse_link(b) for b in rtnl.dump(Message(_RTM_GETLINK, 0, _link_body(), "list links"))]


def list_addresses(rtnl: Rtnl, version: int = 4) -> list[tuple[int, AnyInterface]]:
    """Every address of a family with the index of its interface."""
    body = _ADDRESS.pack(_family(version), 0, 0, 0, 0)
    found: list[tuple[int, AnyInterface]] = []
    for answer in rtnl.dump(Message(_RTM_GETADDR, 0, body, "list addresses")):
        _fam, length, _flags, _scope, index = _ADDRESS.unpack_from(answer)
        values = attributes(answer, _ADDRESS.size)
        packed = values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS)
        if packed:
            found.append((index, ip_interface((packed, length))))
    return found


def list_routes(rtnl: Rtnl, version: int = 4) -> list[Route]:
    """Every unicast route of a family, of every table."""
    body = _ROUTE.pack(_family(version), 0, 0, 0, 0, 0, 0, 0, 0)
    found = []
    for answer in rtnl.dump(Message(_RTM_GETROUTE, 0, body, "list routes")):
        _fam, length, _src, _tos, table, _proto, _scope, kind, _flags = _ROUTE.unpack_from(answer)
        if kind != _RTN_UNICAST:
            continue
        values = attributes(answer, _ROUTE.size)
        packed = values.get(_RTA_DST, bytes(4 if version == 4 else 16))
        found.append(
            Route(
                ip_network((packed, length)),
                _number(values.get(_RTA_OIF)),
                _number(values.get(_RTA_TABLE)) or table,
            )
        )
    return found


def _parse_link(body: bytes) -> Link:
    _family, _type, index, flags, _change = _LINK.unpack_from(body)
    values = attributes(body, _LINK.size)
    info = attributes(values.get(_IFLA_LINKINFO, b""))
    return Link(
        number=index,
        name=_text(values.get(_IFLA_IFNAME)),
        kind=_text(info.get(_IFLA_INFO_KIND)),
        master=_number(values.get(_IFLA_MASTER)),
        mtu=_number(values.get(_IFLA_MTU)),
        mac_address=values.get(_IFLA_ADDRESS, b"").hex(":"),
        up=bool(flags & _IFF_UP),
    )


def _number(value: bytes | None) -> int:
    return int.from_bytes(value, sys.byteorder) if value else 0


def _text(value: bytes | None) -> str:
    return value.rstrip(b"\0").decode() if value else ""


def default_mtu(rtnl: Rtnl) -> int:
    """MTU in bytes of the interface that the default route uses; 1500 without one."""
    through = {r.interface for r in list_routes(rtnl) if r.destination.prefixlen == 0}
    sizes = [link.mtu for link in list_links(rtnl) if link.number in through and link.mtu]
    return min(sizes, default=1500)
