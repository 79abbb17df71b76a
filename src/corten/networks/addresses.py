"""Which subnet a network gets, and which address an endpoint: decisions without I/O."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network

from corten.errors import InvalidArgument, ResourceExhausted

QUARANTINE = 10.0  # seconds; the kernel removes a veth 30 to 50 ms after its namespace's end


def parse_subnet(text: str) -> IPv4Network:
    """A subnet that people wrote.

    Raises:
        InvalidArgument: no CIDR notation, host bits set, or too small for a gateway and a host.
    """
    try:
        subnet = IPv4Network(text)
    except ValueError as error:
        raise InvalidArgument(
            f"{text!r} is no IPv4 subnet: {error}", hint="write it as 172.30.0.0/16"
        ) from None
    if subnet.prefixlen > 30:
        raise InvalidArgument(f"subnet {text} has no room for a gateway and a container")
    return subnet


def choose_subnet(pools: Iterable[tuple[str, int]], taken: Iterable[IPv4Network]) -> IPv4Network:
    """The first subnet of the pools that overlaps nothing of ``taken``.

    Arguments:
        pools: pairs of a CIDR and the prefix length of the subnets cut from it.
        taken: destinations of routes and subnets of addresses; a default route is no obstacle.
    Raises:
        ResourceExhausted: all are taken.
    """
    obstacles = [t for t in taken if t.prefixlen]
    for cidr, length in pools:
        for candidate in parse_subnet(cidr).subnets(new_prefix=length):
            if not any(candidate.overlaps(other) for other in obstacles):
                return candidate
    raise ResourceExhausted(
        "every subnet of the address pools overlaps a route of this host",
        step="choose subnet",
        hint="set another subnet for the bridge in the daemon's configuration",
    )


def gateway_of(subnet: IPv4Network) -> IPv4Address:
    """The first address: Docker's choice."""
    return subnet.network_address + 1


def mac_of(address: IPv4Address) -> str:
    """Docker's scheme: a locally administered address that follows from the IPv4 one, so
    that neighbours' caches stay right when an address gets a new owner."""
    return (b"\x02\x42" + address.packed).hex(":")


class AddressPool:
    """The addresses of one subnet. Next fit: one that was given back comes up last.

    Arguments:
        subnet: the gateway, network and broadcast addresses are never given.
        used: what endpoints have.
        cursor: the address given last, as a number; 0: none yet.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        subnet: IPv4Network,
        *,
        used: Iterable[IPv4Address] = (),
        cursor: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.subnet = subnet
        self._clock = clock
        self._first = int(subnet.network_address) + 2
        self._count = subnet.num_addresses - 3
        self._used = {int(a) for a in used}
        self._released: dict[int, float] = {}
        self.cursor = cursor

    def allocate(self) -> IPv4Address:
        """Take the next free address behind the one given last.

        An address given back less than :data:`QUARANTINE` ago is taken only when there is
        no other.

        Raises:
            ResourceExhausted: none is free.
        """
        self._forget_old()
        start = self.cursor + 1 - self._first if self.cursor else 0
        for avoid in (self._released, ()):
            for step in range(self._count):
                candidate = self._first + (start + step) % self._count
                if candidate not in self._used and candidate not in avoid:
                    self._used.add(candidate)
                    self._released.pop(candidate, None)
                    self.cursor = candidate
                    return IPv4Address(candidate)
        raise ResourceExhausted(
            f"no address is left in {self.subnet}",
            step="allocate address",
            hint="remove containers, or configure a larger subnet",
        )

    def release(self, address: IPv4Address) -> None:
        """Give an address back; idempotent."""
        if int(address) in self._used:
            self._used.discard(int(address))
            self._released[int(address)] = self._clock()

    def _forget_old(self) -> None:
        limit = self._clock() - QUARANTINE
        while self._released:  # in the order of their release
            oldest = next(iter(self._released))
            if self._released[oldest] > limit:
                break
            del self._released[oldest]
