"""The nftables table of a daemon: rules that never change, elements that come and go.

The table is replaced as a whole, in one transaction, when a bridge comes or goes and when
the daemon starts; a published port is one element added to or deleted from a map.
Existing connections keep their translation in conntrack meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from corten.errors import CortenError
from corten.networks.foreign import Foreign, Place

_log = logging.getLogger(__name__)

# A table of our own can't overrule a drop in somebody else's chain; but an accept here is
# no promise either: other tables at the same hook still see the packet.
_RULES = """
table inet {table} {{
  comment "made by cortend; do not edit"
  set bridges {{ type ifname; {bridges} }}
  set same_bridge {{ type ifname . ifname; {pairs} }}
  set internal {{ type ifname; {internal} }}
  set subnets4 {{ type ipv4_addr; flags interval; {subnets4} }}
  set subnets6 {{ type ipv6_addr; flags interval; {subnets6} }}
  map published4 {{ type inet_proto . inet_service : ipv4_addr . inet_service; {published4} }}
  map published4_at {{
    type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; {published4_at}
  }}
  map published6 {{ type inet_proto . inet_service : ipv6_addr . inet_service; {published6} }}
  map published6_at {{
    type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; {published6_at}
  }}
  chain publish {{
    dnat ip to ip daddr . meta l4proto . th dport map @published4_at
    dnat ip to meta l4proto . th dport map @published4
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @published6_at
    dnat ip6 to meta l4proto . th dport map @published6
  }}
  chain prerouting {{
    type nat hook prerouting priority -100; policy accept;
    fib daddr type local jump publish
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    ip daddr != 127.0.0.0/8 fib daddr type local jump publish
    ip6 daddr != ::1 fib daddr type local jump publish
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    ip saddr @subnets4 oifname != @bridges masquerade
    ip saddr @subnets4 oifname @bridges ct status dnat masquerade
    ip6 saddr @subnets6 oifname != @bridges masquerade
    ip6 saddr @subnets6 oifname @bridges ct status dnat masquerade
  }}
  chain forward {{
    type filter hook forward priority 0; policy accept;
    iifname . oifname @same_bridge accept
    iifname @internal drop
    oifname @internal drop
    oifname != @bridges accept
    ct state established,related accept
    ct status dnat accept
    drop
  }}
}}
"""


class Nft(Protocol):
    """What is needed of libnftables: one transaction of commands, its output as text."""

    def run(self, commands: str, *, json: bool = False, handles: bool = False) -> str: ...


class Forward(NamedTuple):
    """One published port that the kernel translates.

    Fields:
        protocol: ``tcp``, ``udp`` or ``sctp``.
        host_ip: ``0.0.0.0``, ``::`` or one address.
        target_ip, target_port: inside the container.
    """

    protocol: str
    host_ip: str
    host_port: int
    target_ip: str
    target_port: int

    def key(self) -> str:
        here = f"{self.protocol} . {self.host_port}"
        return here if self.host_ip in _ANYWHERE else f"{self.host_ip} . {here}"

    def element(self) -> str:
        return f"{self.key()} : {self.target_ip} . {self.target_port}"

    def map(self) -> str:
        family = "6" if ":" in self.host_ip else "4"
        return f"published{family}" + ("" if self.host_ip in _ANYWHERE else "_at")


class BridgeRules(NamedTuple):
    """A bridge as the rules see it.

    Fields:
        subnet4, subnet6: CIDR; empty: none.
        masquerade: what leaves the host bears the host's address.
        internal: nothing gets in or out.
        talk: its containers may speak to each other.
    """

    interface: str
    subnet4: str
    subnet6: str = ""
    masquerade: bool = True
    internal: bool = False
    talk: bool = True

    def elements(self) -> list[tuple[str, str]]:
        """Pairs of a set and its element."""
        name = f'"{self.interface}"'
        found = [("bridges", name)]
        if self.talk:
            found.append(("same_bridge", f"{name} . {name}"))
        if self.internal:
            found.append(("internal", name))
        elif self.masquerade:
            found.append(("subnets4", self.subnet4))
            if self.subnet6:
                found.append(("subnets6", self.subnet6))
        return found


_ANYWHERE = ("0.0.0.0", "::")
_SETS = ("bridges", "same_bridge", "internal", "subnets4", "subnets6")
_MAPS = ("published4", "published4_at", "published6", "published6_at")


def ruleset(table: str, bridges: Sequence[BridgeRules], forwards: Sequence[Forward]) -> str:
    """The commands that replace the table (or make it), elements included.

    Arguments:
        table: the daemon's prefix.
    """
    members: dict[str, list[str]] = {name: [] for name in (*_SETS, *_MAPS)}
    for bridge in bridges:
        for name, element in bridge.elements():
            members[name].append(element)
    for forward in forwards:
        members[forward.map()].append(forward.element())
    shown = {name: _elements(values) for name, values in members.items()}
    body = _RULES.format(table=table, pairs=shown["same_bridge"], **shown)
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
        self._loaded = False
        self._swept = False
        self._bridges: dict[str, BridgeRules] = {}
        self._forwards: dict[tuple[str, str], Forward] = {}
        self._foreign: Foreign | None = None

    def _library(self) -> Nft:
        if self._nft is None:
            self._nft = self._open()
        return self._nft

    def _run(self, commands: str) -> None:
        self._library().run(commands)

    @property
    def foreign(self) -> Foreign:
        """What was added to other people's firewalls."""
        if self._foreign is None:
            self._foreign = Foreign(self._library(), self._table)
        return self._foreign

    def check(self) -> list[Place]:
        """See that everything is as it should be: somebody may have flushed our table, or
        loaded rules of their own that drop what is ours.

        Returns:
            chains of others that drop, in which ours is accepted now.
        """
        if not self._loaded:
            return []
        try:
            self._run(f"list chain inet {self._table} forward")
        except CortenError:
            _log.warning("the table inet %s was removed by somebody; made anew", self._table)
            self._reload()
        return self.foreign.settle(self._bridges)

    def load(self, bridges: Iterable[BridgeRules], forwards: Iterable[Forward]) -> None:
        """Replace the table by one with these bridges and ports, atomically.

        Raises:
            CortenError: the kernel or the library refuses it.
        """
        self._bridges = {bridge.interface: bridge for bridge in bridges}
        self._forwards = {(f.map(), f.key()): f for f in forwards}
        self._reload()

    def expect(self, bridges: Iterable[BridgeRules], forwards: Iterable[Forward]) -> None:
        """What the first :meth:`add_bridge` will write, besides its own."""
        self._bridges = {bridge.interface: bridge for bridge in bridges}
        self._forwards = {(f.map(), f.key()): f for f in forwards}

    def _reload(self) -> None:
        bridges, forwards = tuple(self._bridges.values()), tuple(self._forwards.values())
        self._run(ruleset(self._table, bridges, forwards))
        self._loaded = True

    def add_bridge(self, bridge: BridgeRules) -> None:
        """Let a bridge in; the table is made with the first. Raises as :meth:`load`."""
        before = self._bridges.get(bridge.interface)
        self._bridges[bridge.interface] = bridge
        if not self._loaded or before not in (None, bridge):
            self._reload()
        else:  # also if it is in the table: somebody may have flushed that
            self._change("add", bridge.elements())
        try:
            self.foreign.settle(self._bridges)
        except (CortenError, OSError) as error:
            _log.warning("other firewalls could not be looked at: %s", error)

    def drop_bridge(self, interface: str) -> None:
        """The opposite; with the last bridge the table goes. Idempotent."""
        bridge = self._bridges.pop(interface, None)
        if not self._bridges:
            if self._loaded or not self._swept:  # also what an earlier daemon left, once
                self._swept = True
                self.remove()
        elif bridge is not None:
            self._change("delete", bridge.elements())

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
        """Remove the table, and what was added to other people's."""
        names = tuple(self._bridges)
        self._bridges, self._forwards, self._loaded = {}, {}, False
        try:
            self.foreign.remove(names)
        except (CortenError, OSError) as error:
            _log.warning("what was added to other firewalls stays: %s", error)
        self._run(removal(self._table))
