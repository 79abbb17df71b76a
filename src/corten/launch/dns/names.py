"""Who is called what: tables that the daemon replaces by rename (``networks/names.py`` has
their format)."""

from __future__ import annotations

import os
from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from corten.launch.dns import packets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.launch.dns.packets import Query

_BACK4, _BACK6 = ".in-addr.arpa", ".ip6.arpa"


class Table:
    """One network's.

    Attributes:
        network: its name.
        names: addresses by name.
        back: names by address.
    """

    __slots__ = ("back", "names", "network", "turn", "version")

    def __init__(self, text: str, version: tuple[int, int]) -> None:
        self.version = version
        self.network = ""
        self.names: dict[str, list[str]] = {}
        self.back: dict[str, str] = {}
        self.turn = 0
        for line in text.splitlines():
            words = line.split(" ")
            if words[0] == "network":
                self.network = line[8:]
            elif words[0] == "name":
                self.names[words[1]] = words[2:]
            elif words[0] == "address":
                self.back[words[1]] = words[2]

    def find(self, name: str) -> list[str] | None:
        """Its addresses, those of several containers in turn; ``NAME.NETWORK`` is known, too."""
        found = self.names.get(name)
        if found is None and name.endswith(f".{self.network}"):
            found = self.names.get(name[: -len(self.network) - 1])
        if not found:
            return found
        self.turn += 1
        first = self.turn % len(found)
        return found[first:] + found[:first]


class Names:
    """All tables, read again when they have changed.

    Arguments:
        directory: where they lie.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._tables: dict[str, Table] = {}

    def _table(self, network_id: str) -> Table | None:
        path = f"{self._directory}/{network_id}"
        try:
            stat = os.stat(path)
            version = (stat.st_ino, stat.st_mtime_ns)
            known = self._tables.get(network_id)
            if known is None or known.version != version:
                known = self._tables[network_id] = Table(_read(path), version)
        except OSError:
            self._tables.pop(network_id, None)
            return None
        return known

    def answer(self, networks: list[str], query: Query) -> bytes | None:
        """The answer to a member of these networks; None: it is for others to give."""
        if query.space != packets.IN:
            return None
        if query.kind == packets.PTR:
            return self._back(networks, query)
        for network_id in networks:
            table = self._table(network_id)
            found = table.find(query.name) if table is not None else None
            if found is not None:
                return query.reply(packets.NOERROR, _records(found, query.kind), own=True)
        return None

    def _back(self, networks: list[str], query: Query) -> bytes | None:
        address = address_of(query.name)
        for network_id in networks if address else ():
            table = self._table(network_id)
            if table is not None and address in table.back:
                name = packets.write_name(f"{table.back[address]}.{table.network}")
                records = [packets.record(packets.PTR, name)]
                return query.reply(packets.NOERROR, records, own=True)
        return None


def _records(addresses: list[str], kind: int) -> list[bytes]:
    found = []
    for address in addresses:
        family = AF_INET6 if ":" in address else AF_INET
        mine = packets.AAAA if family == AF_INET6 else packets.A
        if kind in (mine, packets.ANY):
            found.append(packets.record(mine, inet_pton(family, address)))
    return found


def address_of(name: str) -> str:
    """The address that a name of ``in-addr.arpa`` or ``ip6.arpa`` is about; empty: none."""
    if name.endswith(_BACK4):
        parts = name[: -len(_BACK4)].split(".")
        return ".".join(parts[::-1]) if len(parts) == 4 else ""
    if name.endswith(_BACK6):
        digits = "".join(name[: -len(_BACK6)].split(".")[::-1])
        try:
            return inet_ntop(AF_INET6, bytes.fromhex(digits))
        except (ValueError, OSError):
            return ""
    return ""


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, 1 << 16):
            parts.append(part)
        return b"".join(parts).decode("utf-8", "replace")
    finally:
        os.close(fd)


class Servers:
    """The servers that the host itself asks, from its resolv.conf(5)."""

    def __init__(self, path: str = "/etc/resolv.conf") -> None:
        self._path = path
        self._version: tuple[int, int] | None = None
        self._found: list[str] = []

    def get(self) -> list[str]:
        """Those of the file as it is now. systemd-resolved's stub is one like others: it is
        asked from the host's own network namespace."""
        try:
            stat = os.stat(self._path)
            if (stat.st_ino, stat.st_mtime_ns) != self._version:
                self._found = parse_servers(_read(self._path))
                self._version = (stat.st_ino, stat.st_mtime_ns)
        except OSError:
            self._version, self._found = None, []
        return self._found


def parse_servers(text: str) -> list[str]:
    """The ``nameserver`` lines."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            found.append(words[1])
    return found
