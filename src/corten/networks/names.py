"""The tables of names that the resolver reads: one file per network, replaced by rename.

A container that calls others by names of its own (links) has another one per network.

Line by line: ``network NAME``, then ``name NAME ADDRESS…`` for each name that somebody of
the network has (several containers may share one) and ``address ADDRESS NAME`` for the way
back. Names are in lower case.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Sequence

from corten.networks.types import Attachment


def table(network: str, endpoints: Sequence[Attachment]) -> str:
    """The file's text. No I/O."""
    names: dict[str, list[str]] = {}
    lines = [f"network {network.lower()}\n"]
    for endpoint in endpoints:
        addresses = [a for a in (endpoint.ipv4, endpoint.ipv6) if a]
        for name in dict.fromkeys(n.lower() for n in endpoint.names):
            names.setdefault(name, []).extend(addresses)
        if endpoint.names:
            lines += [f"address {a} {endpoint.names[0].lower()}\n" for a in addresses]
    lines += [f"name {name} {' '.join(found)}\n" for name, found in names.items() if _plain(name)]
    return "".join(lines)


def of_links(network: str, endpoint: Attachment, others: Sequence[Attachment]) -> str:
    """A table of what one container calls others, beside the network's own. No I/O."""
    lines = [f"network {network.lower()}\n"]
    for link in endpoint.links:
        target, _, alias = link.lower().partition(":")
        found = [e for e in others if target in (n.lower() for n in e.names)]
        found = found or [e for e in others if target and e.container_id.startswith(target)]
        addresses = [a for e in found for a in (e.ipv4, e.ipv6) if a]
        if addresses and _plain(alias):
            lines.append(f"name {alias} {' '.join(addresses)}\n")
    return "".join(lines)


def links_id(network_id: str, container_id: str) -> str:
    """What such a table is called where a network's id is expected."""
    return f"{network_id}.{container_id}"


def _plain(name: str) -> bool:
    return bool(name) and not any(c.isspace() for c in name)


class Tables:
    """The files. Blocks.

    Arguments:
        directory: ``S/names``.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def write(self, network_id: str, text: str) -> None:
        """Replace a network's table; a reader sees the old one or the new one."""
        os.makedirs(self.directory, mode=0o711, exist_ok=True)
        path = f"{self.directory}/{network_id}"
        fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
        os.rename(f"{path}.new", path)

    def remove(self, network_id: str) -> None:
        """The network is gone."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.directory}/{network_id}")

    def sweep(self, known: Collection[str]) -> None:
        """Remove what belongs to no network any more."""
        self._drop(lambda name: name.partition(".")[0] not in known)

    def sweep_links(self, network_id: str, known: Collection[str]) -> None:
        """Remove the tables of links of a network that are not among those."""
        self._drop(lambda name: name.startswith(f"{network_id}.") and name not in known)

    def _drop(self, unwanted: Callable[[str], bool]) -> None:
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.directory):
                if unwanted(name) and not name.endswith(".new"):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(f"{self.directory}/{name}")
