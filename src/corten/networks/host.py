"""What is done to the host's network and to a container's: blocking, without policy.

Each function opens its own netlink socket (15 µs), so any thread may call any of them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface
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
from corten.networks.addresses import AnyNetwork
from corten.networks.rtnl import Message, NetlinkError, Rtnl

IP_FORWARD = "/proc/sys/net/ipv4/ip_forward"
IP6_FORWARD = "/proc/sys/net/ipv6/conf/all/forwarding"
_CONF6 = Path("/proc/sys/net/ipv6/conf")
_GONE = (errno.ENODEV, errno.ENOENT)

T = TypeVar("T")


class Interface(NamedTuple):
    """One end of a container on a bridge.

    Fields:
        host_name: of the veth's end on the host.
        name: of the end inside.
        gateway, gateway6: None: no default route by this interface.
        mtu: bytes.
        hairpin: it publishes ports, which it may reach itself.
        isolated: it may speak to the bridge alone.
    """

    host_name: str
    name: str
    mac_address: str
    address: IPv4Interface
    gateway: IPv4Address | None
    mtu: int
    hairpin: bool
    address6: IPv6Interface | None = None
    gateway6: IPv6Address | None = None
    isolated: bool = False


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


def taken_subnets(version: int = 4, *, but: str = "") -> list[AnyNetwork]:
    """Destinations of all routes and subnets of all addresses, except those of one link."""
    with Rtnl.open() as rtnl:
        ours = links.get_link(rtnl, but) if but else None
        index = ours.number if ours else -1
        routes = [r.destination for r in links.list_routes(rtnl, version) if r.interface != index]
        addresses = [a.network for i, a in links.list_addresses(rtnl, version) if i != index]
        return [*routes, *addresses]


def make_bridge(
    name: str,
    address: IPv4Interface,
    *,
    mtu: int,
    mac: str,
    address6: IPv6Interface | None = None,
) -> int:
    """Make a bridge, or bring one that exists into this state; its index."""
    with Rtnl.open() as rtnl:
        link = links.get_link(rtnl, name)
        if link is not None and link.kind != "bridge":
            raise NetlinkError(errno.EEXIST, f"it is no bridge but {link.kind}", f"add {name}")
        if link is None:
            rtnl.request(links.add_bridge(name, mtu=mtu, mac=mac))
            link = links.get_link(rtnl, name)
            assert link is not None
        if address6 is None:
            _quietly(rtnl, links.no_link_local(name))
        else:
            _switch_on_ipv6(name)
        has = [a for index, a in links.list_addresses(rtnl) if index == link.number]
        for other in has:
            if other != address:
                rtnl.request(links.remove_address(link.number, other))
        if address not in has:
            rtnl.request(links.add_address(link.number, address))
        rtnl.request(links.set_up(name))
        if address6 is not None:
            _add_missing6(rtnl, link.number, address6)
        return link.number


def _add_missing6(rtnl: Rtnl, index: int, address: IPv6Interface) -> None:
    if (index, address) not in links.list_addresses(rtnl, 6):
        rtnl.request(links.add_address(index, address))


def _switch_on_ipv6(name: str) -> None:
    """Where the host's default says that new interfaces have none."""
    setting = _CONF6 / name / "disable_ipv6"
    if setting.exists() and setting.read_text("ascii").strip() != "0":
        setting.write_text("0", "ascii")


def overlapped_by_older(name: str, subnet: IPv4Network) -> bool:
    """Whether an older link (smaller index) has an address in our subnet: two daemons that
    chose at the same time; the younger one yields."""
    with Rtnl.open() as rtnl:
        link = links.get_link(rtnl, name)
        return link is not None and any(
            index < link.number and address.network.overlaps(subnet)
            for index, address in links.list_addresses(rtnl)
        )


def switch_on_forwarding(record: Callable[[str, str, str], object], *, ipv6: bool = False) -> None:
    """Let the host route IPv4, and IPv6 where a network has it.

    Arguments:
        record: called with path, previous and new value before each change.
    """
    _set(IP_FORWARD, "1", record)
    if ipv6 and Path(IP6_FORWARD).read_text("ascii").strip() == "0":
        # A router passes over advertisements, unless it is told not to: else the host itself
        # would lose its default route.
        for setting in sorted(_CONF6.glob("*/accept_ra")):
            if setting.parent.name not in ("all", "lo") and setting.read_text().strip() == "1":
                _set(str(setting), "2", record)
        _set(IP6_FORWARD, "1", record)


def _set(path: str, value: str, record: Callable[[str, str, str], object]) -> None:
    setting = Path(path)
    previous = setting.read_text("ascii").strip()
    if previous == value:
        return
    record(path, previous, value)
    try:
        setting.write_text(value, "ascii")
    except OSError as error:
        text = f"writing {value}: {os.strerror(error.errno or 0)}"
        raise OSError(error.errno, text, path) from error


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
            if interface.isolated:
                host.request(links.isolate(name))
            host.request(links.set_up(name))
            _configure_inside(inside, interface)
        except BaseException:
            _quietly(host, links.remove_link(name))
            raise


def _configure_inside(inside: Rtnl, interface: Interface) -> None:
    link = links.get_link(inside, interface.name)
    if link is None:
        raise NetlinkError(errno.ENODEV, "the veth's inner end", f"configure {interface.name}")
    if interface.address6 is None:
        _quietly(inside, links.no_link_local(interface.name))
    messages = [
        links.set_up("lo"),
        links.set_up(interface.name),
        links.add_address(link.number, interface.address),
    ]
    if interface.address6 is not None:
        messages.append(links.add_address(link.number, interface.address6))
    inside.request(*messages, *_default_routes(interface.gateway, interface.gateway6))


def _default_routes(gateway: IPv4Address | None, gateway6: IPv6Address | None) -> list[Message]:
    return [
        links.add_default_route(one, replace=True) for one in (gateway, gateway6) if one is not None
    ]


def set_default_routes(
    netlink_fd: int, gateway: IPv4Address | None, gateway6: IPv6Address | None
) -> None:
    """Route what is not on a network's own subnet through other gateways than before."""
    with Rtnl.borrow(netlink_fd) as inside:
        inside.request(*_default_routes(gateway, gateway6))


def loopback_up(netlink_fd: int) -> None:
    """All that a namespace without a network gets."""
    with Rtnl.borrow(netlink_fd) as inside:
        inside.request(links.set_up("lo"))


def remove_links(names: Iterable[str]) -> None:
    """Remove links; those that are gone are no error. Takes 15 to 25 ms for each."""
    with Rtnl.open() as rtnl:
        for name in names:
            _unless_gone(rtnl, name)


def sweep(prefix: str, keep: Mapping[str, int], bridges: Collection[str]) -> list[str]:
    """Remove what bears the prefix and is on no record; connect what is to its bridge again.

    Arguments:
        keep: veths of endpoints, with the index of their bridge.
        bridges: names of the networks' bridges.
    Returns:
        names of what was removed.
    """
    with Rtnl.open() as rtnl:
        every = links.list_links(rtnl)
        ours = [
            link for link in every if link.kind == "veth" and link.name.startswith(f"{prefix}v")
        ]
        stray = [link.name for link in ours if link.name not in keep]
        stray += [
            link.name
            for link in every
            if link.kind == "bridge"
            and link.name.startswith(f"{prefix}b")
            and link.name not in bridges
        ]
        for name in stray:
            _unless_gone(rtnl, name)
        for link in ours:
            bridge = keep.get(link.name, 0)
            if bridge and link.master != bridge:
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
