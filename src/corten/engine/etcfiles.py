"""The files of a container that we write: hosts, hostname, resolv.conf. Blocking."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from corten.engine.types import Container, ContainerConfig
from corten.networks import files


class EtcFiles(NamedTuple):
    """Where they lie on the host."""

    hosts: str
    hostname: str
    resolv: str

    def binds(self) -> tuple[tuple[str, str], ...]:
        """(path inside, path on the host), for the files that exist."""
        return (
            ("/etc/hosts", self.hosts),
            ("/etc/hostname", self.hostname),
            ("/etc/resolv.conf", self.resolv),
        )


def paths(directory: str) -> EtcFiles:
    """Their paths below a container's or pod's directory."""
    return EtcFiles(f"{directory}/hosts", f"{directory}/hostname", f"{directory}/resolv.conf")


def write(
    where: EtcFiles,
    config: ContainerConfig,
    *,
    hostname: str,
    own_network: bool,
    addresses: Sequence[str] = (),
    gateway: str = "",
    embedded: bool = False,
    complete: bool = True,
    links: Sequence[tuple[str, str]] = (),
) -> None:
    """Write all three, in place: a running container has them mounted by inode.

    Arguments:
        addresses: the container's own, IPv4 first.
        own_network: it does not share the host's network.
        embedded: names are asked of the daemon's own resolver.
        links: address and names of other containers.
        complete: False: the address is not known yet, so only make the files.
    """
    if not complete:
        for path in where:
            put(path, "")
        return
    host = files.read_host_files()
    hosts = files.hosts_file(
        hostname=hostname if own_network else "",
        domainname=config.domainname,
        addresses=addresses,
        extra_hosts=config.extra_hosts,
        gateway=gateway,
        links=links,
        host="" if own_network else host.hosts,
    )
    resolv = files.resolv_file(
        host,
        servers=config.dns,
        search=config.dns_search,
        options=config.dns_options,
        host_network=not own_network,
        embedded=embedded,
    )
    put(where.hosts, hosts)
    put(where.hostname, files.hostname_file(hostname))
    put(where.resolv, resolv)


def renew(where: EtcFiles, record: Container, addresses: Sequence[str]) -> None:
    """Say what is true now in the files of a container that runs; what was written by others
    stays.

    Arguments:
        addresses: the container's own.
    """
    config = record.config
    hostname = config.hostname or record.id[:12]
    before = _read(where.hosts)
    after = files.readdressed(
        before, hostname=hostname, domainname=config.domainname, addresses=addresses
    )
    if after != before:
        put(where.hosts, after)
    embedded = any(request.network != "bridge" for request in config.networks or ())
    texts = [_resolv(config, embedded=embedded), _resolv(config, embedded=not embedded)]
    if _read(where.resolv) == texts[1]:
        put(where.resolv, texts[0])


def relink(where: EtcFiles, links: Sequence[tuple[str, str]]) -> None:
    """A container that is linked to has another address."""
    before = after = _read(where.hosts)
    for address, names in links:
        after = files.renamed(after, names, [address])
    if after != before:
        put(where.hosts, after)


def _resolv(config: ContainerConfig, *, embedded: bool) -> str:
    return files.resolv_file(
        files.read_host_files(),
        servers=config.dns,
        search=config.dns_search,
        options=config.dns_options,
        embedded=embedded,
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""


def put(path: str, text: str) -> None:
    """Write a small file in place, readable for every user inside."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(fd, 0o644)  # whatever the umask
        os.write(fd, text.encode(errors="surrogateescape"))
    finally:
        os.close(fd)
