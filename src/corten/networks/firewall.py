"""The nftables table of a daemon: rules that never change, elements that come and go.

The table is replaced as a whole, in one transaction, when a bridge comes or goes and when
the daemon starts; a published port is one element added to or deleted from a map.
Existing connections keep their translation in conntrack meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from corten.errors import CortenError

# A table of our own can't overrule a drop in somebody else's chain; but an accept here is
# no promise either: other tables at the same hook still see the packet.
_RULES = """
table inet {table} {{
  comment "made by cortend; do not edit"
  set bridges {{ type ifname; {bridges} }}
  set same_bridge {{ type ifname . ifname; {pairs} }}
  set subnets4 {{ type ipv4_addr; flags interval; {subnets} }}
  map published4 {{ type inet_proto . inet_service : ipv4_addr . inet_service; {anywhere} }}
  map published4_at {{
    type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; {somewhere}
  }}
  chain publish {{
    dnat ip to ip daddr . meta l4proto . th dport map @published4_at
    dnat ip to meta l4proto . th dport map @published4
  }}
  chain prerouting {{
    type nat hook prerouting priority -100; policy accept;
    fib daddr type local jump publish
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    ip daddr != 127.0.0.0/8 fib daddr type local jump publish
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    ip saddr @subnets4 oifname != @bridges masquerade
    ip saddr @subnets4 oifname @bridges ct status dnat masquerade
  }}
  chain forward {{
    type filter hook forward priority 0; policy accept;
    oifname != @bridges accept
    ct state established,related accept
    iifname . oifname @same_bridge accept
    ct status dnat accept
    drop
  }}
}}
"""


class Nft(Protocol):
    """What is needed of libnftables: one transaction of commands, its output as text."""

    def run(self, commands: str) -> str: ...


class Forward(NamedTuple):
    """One published port that the kernel translates.

    Fields:
        protocol: ``tcp``, ``udp`` or ``sctp``.
        host_ip: ``0.0.0.0`` or one IPv4 address.
        target_ip, target_port: inside the container.
    """

    protocol: str
    host_ip: str
    host_port: int
    target_ip: str
    target_port: int

    def key(self) -> str:
        here = f"{self.protocol} . {self.host_port}"
        return here if self.host_ip == "0.0.0.0" else f"{self.host_ip} . {here}"

    def element(self) -> str:
        return f"{self.key()} : {self.target_ip} . {self.target_port}"

    def map(self) -> str:
        return "published4" if self.host_ip == "0.0.0.0" else "published4_at"


class BridgeRules(NamedTuple):
    """A bridge as the rules see it: its name and its subnet in CIDR form."""

    interface: str
    subnet4: str


def ruleset(table: str, bridges: Sequence[BridgeRules], forwards: Sequence[Forward]) -> str:
    """The commands that replace the table (or make it), elements included.

    Arguments:
        table: the daemon's prefix.
    """
    names = [f'"{b.interface}"' for b in bridges]
    body = _RULES.format(
        table=table,
        bridges=_elements(names),
        pairs=_elements([f"{n} . {n}" for n in names]),
        subnets=_elements([b.subnet4 for b in bridges]),
        anywhere=_elements([f.element() for f in forwards if f.map() == "published4"]),
        somewhere=_elements([f.element() for f in forwards if f.map() == "published4_at"]),
    )
    return f"{removal(table)}{body}"


def removal(table: str) -> str:
    """The commands that remove the table, whether it exists or not."""
    return f"add table inet {table}\ndelete table inet {table}\n"


def _elements(values: Sequence[str]) -> str:
    return f"elements = {{ {', '.join(values)} }}" if values else ""


class Firewall:
    """The table of one daemon. Blocks: used from the networks' worker thread.

    Where an element can't be changed (somebody flushed the table) the whole is written anew
    from what should be there.

    Arguments:
        open_nft: called at the first use; loading the library takes a few milliseconds.
        table: the daemon's prefix.
    """

    def __init__(self, open_nft: Callable[[], Nft], table: str) -> None:
        self._open = open_nft
        self._nft: Nft | None = None
        self._table = table
        self._bridges: tuple[BridgeRules, ...] = ()
        self._forwards: dict[tuple[str, str], Forward] = {}

    def _run(self, commands: str) -> None:
        if self._nft is None:
            self._nft = self._open()
        self._nft.run(commands)

    def load(self, bridges: Iterable[BridgeRules], forwards: Iterable[Forward]) -> None:
        """Replace the table by one with these bridges and ports, atomically.

        Raises:
            CortenError: the kernel or the library refuses it.
        """
        self._bridges = tuple(bridges)
        self._forwards = {(f.map(), f.key()): f for f in forwards}
        self._reload()

    def _reload(self) -> None:
        self._run(ruleset(self._table, self._bridges, tuple(self._forwards.values())))

    def publish(self, forwards: Sequence[Forward]) -> None:
        """Add ports."""
        self._forwards.update({(f.map(), f.key()): f for f in forwards})
        self._change("add", [(f.map(), f.element()) for f in forwards])

    def withdraw(self, forwards: Sequence[Forward]) -> None:
        """Remove ports; what is not there is no error."""
        gone = [f for f in forwards if self._forwards.get((f.map(), f.key())) == f]
        for forward in gone:
            del self._forwards[forward.map(), forward.key()]
        self._change("delete", [(f.map(), f.key()) for f in gone])

    def _change(self, verb: str, elements: Sequence[tuple[str, str]]) -> None:
        if not elements:
            return
        commands = "".join(
            f"{verb} element inet {self._table} {name} {{ {element} }}\n"
            for name, element in elements
        )
        try:
            self._run(commands)
        except CortenError:
            self._reload()

    def remove(self) -> None:
        """Remove the table."""
        self._bridges, self._forwards = (), {}
        self._run(removal(self._table))
