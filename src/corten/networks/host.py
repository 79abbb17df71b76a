"""What is done to the host's network and to a container's: blocking, without policy.

Each function opens its own netlink socket (15 µs), so any thread may call any of them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import NamedTuple, TypeVar

from corten.errors import (
    CortenError,
    Internal,
    PermissionDenied,
    ResourceExhausted,
    exhausted,
)
from corten.networks import links
from corten.networks.rtnl import Message, NetlinkError, Rtnl

IP_FORWARD = "/proc/sys/net/ipv4/ip_forward"
_GONE = (errno.ENODEV, errno.ENOENT)

T = TypeVar("T")


class Interface(NamedTuple):
    """One end of a container on a bridge.

    Fields:
        host_name: of the veth's end on the host.
        name: of the end inside.
        mtu: bytes.
        hairpin: it publishes ports, which it may reach itself.
    """

    host_name: str
    name: str
    mac_address: str
    address: IPv4Interface
    gateway: IPv4Address
    mtu: int
    hairpin: bool


def translated(step: str, function: Callable[..., T], *args: object) -> T:
    """Call, and raise what the kernel said in the words of :mod:`corten.errors`."""
    try:
        return function(*args)
    except NetlinkError as error:
        raise _error(error.step, error) from error
    except OSError as error:
        raise _error(step, error) from error


def _error(step: str, error: OSError) -> CortenError:
    code = error.errno or 0
    message = error.strerror or str(error)
    path = str(error.filename or "")
    if code in (errno.EPERM, errno.EACCES):
        hint = "the daemon needs CAP_NET_ADMIN for bridge networks"
        return PermissionDenied(message, step=step, path=path, errno=code, hint=hint)
    if code == errno.ENOBUFS:
        return ResourceExhausted(message, step=step, path=path, errno=code)
    return exhausted(error, step=step, path=path) or Internal(
        message, step=step, path=path, errno=code
    )


def default_mtu() -> int:
    """MTU in bytes of the interface that the default route uses."""
    with Rtnl.open() as rtnl:
        return links.default_mtu(rtnl)


def exists(name: str) -> bool:
    """Whether there is a link of this name."""
    with Rtnl.open() as rtnl:
        return links.get_link(rtnl, name) is not None


# --- the bridge ---------------------------------------------------------------------------


def taken_subnets(*, but: str = "") -> list[IPv4Network]:
    """Destinations of all routes and subnets of all addresses, except those of one link."""
    with Rtnl.open() as rtnl:
        ours = links.get_link(rtnl, but) if but else None
        index = ours.number if ours else -1
        routes = [r.destination for r in links.list_routes(rtnl) if r.interface != index]
        addresses = [a.network for i, a in links.list_addresses(rtnl) if i != index]
        return routes + addresses


def make_bridge(name: str, address: IPv4Interface, *, mtu: int, mac: str) -> int:
    """Make a bridge, or bring one that exists into this state; its index."""
    with Rtnl.open() as rtnl:
        link = links.get_link(rtnl, name)
        if link is not None and link.kind != "bridge":
            raise NetlinkError(errno.EEXIST, f"it is no bridge but {link.kind}", f"add {name}")
        if link is None:
            rtnl.request(links.add_bridge(name, mtu=mtu, mac=mac))
            link = links.get_link(rtnl, name)
            assert link is not None
        _quietly(rtnl, links.no_link_local(name))
        has = [a for index, a in links.list_addresses(rtnl) if index == link.number]
        for other in has:
            if other != address:
                rtnl.request(links.remove_address(link.number, other))
        if address not in has:
            rtnl.request(links.add_address(link.number, address))
        rtnl.request(links.set_up(name))
        return link.number


def overlapped_by_older(name: str, subnet: IPv4Network) -> bool:
    """Whether an older link (smaller index) has an address in our subnet: two daemons that
    chose at the same time; the younger one yields."""
    with Rtnl.open() as rtnl:
        link = links.get_link(rtnl, name)
        return link is not None and any(
            index < link.number and address.network.overlaps(subnet)
            for index, address in links.list_addresses(rtnl)
        )


def switch_on_forwarding(record: Callable[[str, str], object]) -> None:
    """Let the host route IPv4.

    Arguments:
        record: called with path and previous value before the change, if there is one.
    """
    setting = Path(IP_FORWARD)
    previous = setting.read_text("ascii").strip()
    if previous == "1":
        return
    record(IP_FORWARD, previous)
    try:
        setting.write_text("1", "ascii")
    except OSError as error:
        text = f"writing 1: {os.strerror(error.errno or 0)}"
        raise OSError(error.errno, text, IP_FORWARD) from error


# --- containers ---------------------------------------------------------------------------


def connect(bridge: int, interface: Interface, netns_fd: int, netlink_fd: int) -> None:
    """Make a veth pair between the bridge and a namespace, and configure the inside.

    Arguments:
        bridge: index of the bridge.
        netlink_fd: a NETLINK_ROUTE socket that was opened in the namespace.
    Raises:
        NetlinkError: nothing is left then.
    """
    name = interface.host_name
    with Rtnl.open() as host, Rtnl.borrow(netlink_fd) as inside:
        host.request(
            links.add_veth(
                name,
                master=bridge,
                mtu=interface.mtu,
                peer=interface.name,
                peer_mac=interface.mac_address,
                peer_netns_fd=netns_fd,
            )
        )
        try:
            _quietly(host, links.no_link_local(name))
            if interface.hairpin:
                host.request(links.hairpin(name))
            host.request(links.set_up(name))
            _configure_inside(inside, interface)
        except BaseException:
            _quietly(host, links.remove_link(name))
            raise


def _configure_inside(inside: Rtnl, interface: Interface) -> None:
    link = links.get_link(inside, interface.name)
    if link is None:
        raise NetlinkError(errno.ENODEV, "the veth's inner end", f"configure {interface.name}")
    _quietly(inside, links.no_link_local(interface.name))
    inside.request(
        links.set_up("lo"),
        links.set_up(interface.name),
        links.add_address(link.number, interface.address),
        links.add_default_route(interface.gateway),
    )


def loopback_up(netlink_fd: int) -> None:
    """All that a namespace without a network gets."""
    with Rtnl.borrow(netlink_fd) as inside:
        inside.request(links.set_up("lo"))


def remove_links(names: Iterable[str]) -> None:
    """Remove links; those that are gone are no error. Takes 15 to 25 ms for each."""
    with Rtnl.open() as rtnl:
        for name in names:
            _unless_gone(rtnl, name)


def sweep(prefix: str, keep: Collection[str], bridge: int) -> list[str]:
    """Remove veths that bear the prefix and are not to be kept; connect the others again.

    Arguments:
        bridge: index of the bridge, 0: there is none.
    Returns:
        names of what was removed.
    """
    with Rtnl.open() as rtnl:
        ours = [
            link
            for link in links.list_links(rtnl)
            if link.kind == "veth" and link.name.startswith(f"{prefix}v")
        ]
        stray = [link.name for link in ours if link.name not in keep]
        for name in stray:
            _unless_gone(rtnl, name)
        for link in ours:
            if bridge and link.name in keep and link.master != bridge:
                rtnl.request(links.set_master(link.name, bridge), links.set_up(link.name))
        return stray


def _unless_gone(rtnl: Rtnl, name: str) -> None:
    try:
        rtnl.request(links.remove_link(name))
    except NetlinkError as error:
        if error.errno not in _GONE:
            raise


def _quietly(rtnl: Rtnl, message: Message) -> None:
    """For what is better done but does no harm undone."""
    try:
        rtnl.request(message)
    except NetlinkError:
        return
