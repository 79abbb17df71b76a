"""The way of a packet, in words, and where it would be dropped. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from corten.networks.options import Options
from corten.networks.types import Attachment, Network, Port, Record

OUTSIDE, HOST = "outside", "host"


class End(Record, frozen=True, kw_only=True):
    """One end of the way.

    Fields:
        kind: ``container``, ``host`` or ``outside``.
        name: for the user.
        listening: addresses at which somebody listens at the port in question; None: that
            could not be looked up.
    """

    kind: str
    name: str
    attachments: tuple[Attachment, ...] = ()
    listening: tuple[str, ...] | None = None


class Step(Record, frozen=True, kw_only=True):
    """One place that the packet comes to; ``passes`` False: here it ends."""

    where: str
    what: str
    passes: bool = True


class Way(Record, frozen=True, kw_only=True):
    """The whole; ``hint`` says what would change it."""

    arrives: bool
    steps: tuple[Step, ...]
    hint: str = ""


class World(Record, frozen=True, kw_only=True):
    """What decides besides the ends.

    Fields:
        table: the name of our nftables table.
        networks: by id.
        foreign: chains of others that drop by policy, and whether they accept our bridges.
    """

    table: str
    networks: dict[str, Network]
    foreign: tuple[tuple[str, bool], ...] = ()


class _Walk:
    """Collects steps until one of them does not let the packet pass."""

    def __init__(self, world: World, port: int, protocol: str) -> None:
        self.world = world
        self.port = port
        self.protocol = protocol
        self.steps: list[Step] = []
        self.stopped = False
        self.hint = ""

    def step(self, where: str, what: str, *, passes: bool = True, hint: str = "") -> None:
        if not self.stopped:
            self.steps.append(Step(where=where, what=what, passes=passes))
            if not passes:
                self.stopped, self.hint = True, hint

    def chain(self, name: str) -> str:
        return f"table inet {self.world.table}, chain {name}"

    def foreign(self) -> None:
        for place, accepted in self.world.foreign:
            what = "drops by policy; our bridges are accepted there by a rule of Corten's"
            if not accepted:
                what = "drops by policy, and nothing there accepts our bridges"
            self.step(place, what, passes=accepted, hint=f"allow our bridges in {place}")

    def arrive(self, end: End) -> None:
        if not self.port:
            return
        what = f"{self.port}/{self.protocol}"
        if end.listening is None:
            self.step(end.name, f"whether somebody listens at {what} could not be looked up")
        elif not end.listening:
            self.step(
                end.name, f"nobody listens at {what}", passes=False,
                hint="the container's log may say why its program does not",
            )  # fmt: skip
        elif all(ip_address(a).is_loopback for a in end.listening):
            self.step(
                end.name, f"its program listens at {what} on {end.listening[0]} only", passes=False,
                hint="have the program listen at 0.0.0.0 or ::",
            )  # fmt: skip
        else:
            self.step(end.name, f"its program listens at {what} on {', '.join(end.listening)}")


def explain(src: End, dst: End, *, port: int, protocol: str, world: World) -> Way:
    """The way from ``src`` to ``dst``.

    Arguments:
        port: inside of the container, or as published; 0: none in particular.
    """
    walk = _Walk(world, port, protocol)
    if src.kind == "container" and dst.kind == "container":
        _between(walk, src, dst)
    elif dst.kind == "container":
        _inwards(walk, src, dst)
    elif src.kind == "container":
        _outwards(walk, src, dst)
    else:
        walk.step("host", "no container takes part: the host's own routes and rules decide")
    return Way(arrives=not walk.stopped, steps=tuple(walk.steps), hint=walk.hint)


def _between(walk: _Walk, src: End, dst: End) -> None:
    shared = [
        (a, b) for a in src.attachments for b in dst.attachments if a.network_id == b.network_id
    ]
    if not shared:
        _apart(walk, src, dst)
        return
    mine, other = shared[0]
    network = walk.world.networks[mine.network_id]
    if not network.built_in:
        walk.step("127.0.0.11", f"{dst.name} is {other.ipv4} on network {network.name}")
    walk.step(src.name, f"leaves by {mine.interface} ({mine.ipv4})")
    walk.step(
        f"bridge {network.interface}", "hands it over to the other container",
        passes=Options.of(network).talk,
        hint="the network was made with com.docker.network.bridge.enable_icc=false",
    )  # fmt: skip
    walk.arrive(dst)


def _apart(walk: _Walk, src: End, dst: End) -> None:
    if not src.attachments or not dst.attachments:
        lonely = src if not src.attachments else dst
        walk.step(
            lonely.name, "is connected to no network (or does not run)", passes=False,
            hint="start it, or corten network connect NETWORK CONTAINER",
        )  # fmt: skip
        return
    mine, other = src.attachments[0], dst.attachments[0]
    walk.step(src.name, f"leaves by {mine.interface} ({mine.ipv4})")
    hint = f"corten network connect {other.network} {src.name}"
    found = _published(walk, dst)
    if found:
        hint += f", or use an address of the host with port {found[0].host_port}"
    walk.step(
        walk.chain("forward"),
        f"networks are kept apart: {mine.network} is not {other.network}", passes=False, hint=hint,
    )  # fmt: skip


def _published(walk: _Walk, end: End) -> list[Port]:
    return [
        port
        for attachment in end.attachments
        for port in attachment.ports
        if port.protocol == walk.protocol and walk.port in (0, port.container_port, port.host_port)
    ]


def _inwards(walk: _Walk, src: End, dst: End) -> None:
    if not dst.attachments:
        walk.step(
            dst.name, "is connected to no network (or does not run)", passes=False,
            hint="start it, or corten network connect NETWORK CONTAINER",
        )  # fmt: skip
        return
    end = dst.attachments[0]
    network = walk.world.networks[end.network_id]
    if src.kind == HOST:
        walk.step("host", f"is on the bridge {network.interface} itself, as {network.gateway4}")
        walk.arrive(dst)
        return
    found = _published(walk, dst)
    reachable = [port for port in found if not ip_address(port.host_ip).is_loopback]
    if not found:
        walk.step(
            walk.chain("forward"), "from outside only published ports get in", passes=False,
            hint=f"publish it: corten run -p {walk.port or 'PORT'}:{walk.port or 'PORT'}",
        )  # fmt: skip
    elif not reachable:
        walk.step(
            "host", f"the port is published at {found[0].host_ip} only", passes=False,
            hint="publish it without an address, or at the one that is asked for",
        )  # fmt: skip
    else:
        port = reachable[0]
        walk.port = port.container_port
        walk.step("host", f"somebody asks for port {port.host_port} of {port.host_ip}")
        walk.step(
            walk.chain("publish"), f"it goes to {end.ipv4} port {port.container_port} instead"
        )
        walk.foreign()
        walk.step(walk.chain("forward"), "published, so accepted")
        walk.step(f"bridge {network.interface}", f"hands it over to {end.interface} ({end.ipv4})")
        walk.arrive(dst)


def _outwards(walk: _Walk, src: End, dst: End) -> None:
    routed = [e for e in src.attachments if e.gateway4]
    if not routed:
        walk.step(
            src.name, "has no default route: none of its networks leads to the outside",
            passes=False, hint="connect it to a network that is not internal",
        )  # fmt: skip
        return
    end = min(routed, key=lambda e: e.network)
    network = walk.world.networks[end.network_id]
    walk.step(src.name, f"leaves by {end.interface} ({end.ipv4}) to {end.gateway4}")
    if dst.kind == HOST:
        walk.step("host", "its own input rules decide")
        return
    walk.foreign()
    walk.step(walk.chain("forward"), "what leaves the host is accepted")
    if Options.of(network).masquerade:
        walk.step(walk.chain("postrouting"), "it bears the host's address from here on")
    else:
        walk.step("host", f"it keeps its own address: {dst.name} needs a route back to it")


def listeners(texts: Sequence[str], port: int, *, listening: str = "0A") -> tuple[str, ...]:
    """Local addresses that somebody listens at, from ``/proc/PID/net/tcp`` and ``tcp6``.

    Arguments:
        listening: the state's number: ``0A`` for TCP, ``07`` for UDP.
    """
    found: dict[str, None] = {}
    for text in texts:
        for line in text.splitlines()[1:]:
            words = line.split()
            address, _, number = words[1].partition(":")
            if int(number, 16) == port and words[3] == listening:
                found[_address(address)] = None
    return tuple(found)


def _address(digits: str) -> str:
    """The kernel prints words of four bytes, each in the machine's order."""
    raw = bytes.fromhex(digits)
    words = [raw[at : at + 4][::-1] for at in range(0, len(raw), 4)]
    return str(ip_address(b"".join(words)))
