"""/etc/hosts, /etc/hostname and /etc/resolv.conf of a container: contents, and host's facts.

All but :func:`read_host_files` are text in, text out.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple

from corten.errors import InvalidArgument

_HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
_STUB = "127.0.0.53"  # systemd-resolved's, on the host's loopback
_FALLBACK = ("8.8.8.8", "8.8.4.4")  # Docker's
_HOST_GATEWAY = "host-gateway"
EMBEDDED = "127.0.0.11"  # where a container of a user's network asks, as under Docker


class HostFiles(NamedTuple):
    """The host's own files.

    Fields:
        resolved: what systemd-resolved itself asks; empty where it does not run.
    """

    hosts: str
    resolv_conf: str
    resolved: str = ""


def read_host_files(root: str = "/") -> HostFiles:
    """Read them; what is missing is empty. Reads local files of a few lines."""
    base = Path(root)
    return HostFiles(
        hosts=_read(base / "etc/hosts"),
        resolv_conf=_read(base / "etc/resolv.conf"),
        resolved=_read(base / "run/systemd/resolve/resolv.conf"),
    )


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


# --- names --------------------------------------------------------------------------------


def hostname_file(hostname: str) -> str:
    """Content of /etc/hostname."""
    return f"{hostname}\n"


def hosts_file(
    *,
    hostname: str = "",
    domainname: str = "",
    addresses: Sequence[str] = (),
    extra_hosts: Sequence[str] = (),
    gateway: str = "",
    host: str = "",
    links: Sequence[tuple[str, str]] = (),
) -> str:
    """Content of /etc/hosts, in Docker's order: loopback, extra hosts, links, the container
    itself.

    Arguments:
        addresses: the container's own.
        extra_hosts: ``NAME:ADDRESS`` or ``NAME=ADDRESS``; the address may be
            ``host-gateway``.
        gateway: what ``host-gateway`` stands for.
        links: address and names of other containers.
        host: the host's file, for containers in the host's network; it is the base then.
    Raises:
        InvalidArgument: an extra host is malformed.
    """
    lines = [_extra(entry, gateway) for entry in extra_hosts]
    lines += [f"{address}\t{names}" for address, names in links]
    if hostname:
        names = _own_names(hostname, domainname)
        lines += [f"{address}\t{names}" for address in addresses if address]
    base = host or _HOSTS
    if not base.endswith("\n"):
        base += "\n"
    return base + "".join(f"{line}\n" for line in lines)


def _own_names(hostname: str, domainname: str) -> str:
    return f"{hostname}.{domainname} {hostname}" if domainname else _with_short(hostname)


def readdressed(
    text: str, *, hostname: str, domainname: str = "", addresses: Sequence[str] = ()
) -> str:
    """A container's /etc/hosts with other addresses of its own; all other lines stay."""
    return renamed(text, _own_names(hostname, domainname), addresses)


def renamed(text: str, names: str, addresses: Sequence[str]) -> str:
    """An /etc/hosts in which ``names`` stand for these addresses and no others."""
    kept, missing = [], [a for a in addresses if a]
    for line in text.splitlines(keepends=True):
        address, _, rest = line.partition("\t")
        if rest.rstrip("\n") == names:
            if address not in missing:
                continue
            missing.remove(address)
        kept.append(line)
    if kept and not kept[-1].endswith("\n"):
        kept[-1] += "\n"
    return "".join(kept) + "".join(f"{address}\t{names}\n" for address in missing)


def _with_short(hostname: str) -> str:
    short = hostname.split(".")[0]
    return hostname if short == hostname else f"{hostname} {short}"


def _extra(entry: str, gateway: str) -> str:
    cut = min((i for i in (entry.find(":"), entry.find("=")) if i > 0), default=0)
    name, address = entry[:cut], entry[cut + 1 :].strip("[]")
    if address == _HOST_GATEWAY:
        if not gateway:
            raise InvalidArgument(
                f"extra host {entry!r}: this network has no gateway to the host",
                hint="use the bridge network, or name an address",
            )
        address = gateway
    if not name or any(c.isspace() for c in name) or not _is_address(address):
        raise InvalidArgument(
            f"bad extra host {entry!r}", hint="write it as NAME:ADDRESS or NAME:host-gateway"
        )
    return f"{address}\t{name}"


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


# --- the resolver -------------------------------------------------------------------------


class Resolver(NamedTuple):
    """What a resolv.conf(5) says."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse_resolv_conf(text: str) -> Resolver:
    """Read a resolv.conf(5); lines that mean nothing are ignored, as by the C library."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or line[0] in "#;":
            continue
        if words[0] == "nameserver" and _is_address(words[1]):
            servers.append(words[1])
        elif words[0] in ("search", "domain"):  # the last one counts
            search = tuple(words[1:]) if words[0] == "search" else (words[1],)
        elif words[0] == "options":
            options += words[1:]
    return Resolver(tuple(servers), search, tuple(options))


def resolv_file(
    host: HostFiles,
    *,
    servers: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    host_network: bool = False,
    ipv6: bool = False,
    embedded: bool = False,
) -> str:
    """Content of /etc/resolv.conf.

    Each of the three settings replaces the host's; a search of ``.`` means none. Without
    servers of its own, a container gets the host's as far as it can reach them: those on
    the host's loopback only in the host's network. If none is left, Docker's fallbacks.

    Arguments:
        ipv6: whether the container has IPv6: else servers with such an address are left out.
        embedded: the daemon's own resolver is asked, and it asks ``servers``.
    Raises:
        InvalidArgument: a server is no address.
    """
    for server in servers:
        if not _is_address(server):
            raise InvalidArgument(f"DNS server {server!r} is no IP address")
    found = parse_resolv_conf(host.resolv_conf)
    if not host_network:
        if found.servers == (_STUB,) and host.resolved:
            found = parse_resolv_conf(host.resolved)
        usable = tuple(s for s in found.servers if _reachable(s, ipv6=ipv6))
        found = found._replace(servers=usable or _FALLBACK)
    wanted = Resolver(
        servers=tuple(servers) or found.servers,
        search=tuple(search) or found.search,
        options=tuple(options) or found.options,
    )
    return _format_embedded(wanted) if embedded else _format(wanted)


def _format_embedded(resolver: Resolver) -> str:
    """In dockerd's order. A name without a dot may be a container's: it is asked as it is."""
    lines = [line for line in _format(resolver).splitlines() if line.startswith("search ")]
    lines.append(f"nameserver {EMBEDDED}")
    options = resolver.options
    if not any(option.startswith("ndots:") for option in options):
        options = (*options, "ndots:0")
    lines.append(f"options {' '.join(options)}")
    return "".join(f"{line}\n" for line in lines)


def _reachable(server: str, *, ipv6: bool) -> bool:
    address = ip_address(server)
    if address.is_loopback or address.is_unspecified:
        return False
    if isinstance(address, IPv6Address):
        # A zone names an interface of the host.
        return ipv6 and address.scope_id is None
    return True


def _format(resolver: Resolver) -> str:
    lines = [f"nameserver {server}" for server in resolver.servers]
    search = [domain for domain in resolver.search if domain != "."]
    if search:
        lines.append(f"search {' '.join(search)}")
    if resolver.options:
        lines.append(f"options {' '.join(resolver.options)}")
    return "".join(f"{line}\n" for line in lines)
