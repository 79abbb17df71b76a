"""Which subnet a network gets, and which address an endpoint: decisions without I/O."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from corten.errors import FailedPrecondition, InvalidArgument, ResourceExhausted

AnyAddress = IPv4Address | IPv6Address
AnyNetwork = IPv4Network | IPv6Network

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


def parse_cidr(text: str) -> AnyNetwork:
    """A subnet of either family; host bits are passed over, as dockerd does.

    Raises:
        InvalidArgument: no CIDR notation.
    """
    try:
        if "/" not in text:
            raise ValueError
        return ip_network(text, strict=False)
    except ValueError:
        raise InvalidArgument(f"Invalid subnet {text} : invalid CIDR address: {text}") from None


def parse_address(text: str, what: str = "address") -> AnyAddress:
    """One address. Raises InvalidArgument."""
    try:
        return ip_address(text)
    except ValueError:
        raise InvalidArgument(f"invalid {what}: {text}") from None


def choose_subnet6(random: Callable[[int], bytes], taken: Iterable[AnyNetwork]) -> IPv6Network:
    """A unique local /64 (RFC 4193: 40 random bits) that overlaps nothing of ``taken``."""
    others = [t for t in taken if isinstance(t, IPv6Network)]
    while True:
        packed = b"\xfd" + random(5) + bytes(10)
        candidate = IPv6Network((packed, 64))
        if not any(candidate.overlaps(other) for other in others if other.prefixlen):
            return candidate


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


def gateway_of(subnet: AnyNetwork) -> AnyAddress:
    """The first address: Docker's choice."""
    return subnet.network_address + 1


def mac_of(address: AnyAddress) -> str:
    """Docker's scheme: a locally administered address that follows from the IPv4 one, so
    that neighbours' caches stay right when an address gets a new owner."""
    return (b"\x02\x42" + address.packed[-4:]).hex(":")


class AddressPool:
    """The addresses of one subnet. Next fit: one that was given back comes up last.

    Arguments:
        subnet: of either family; network and broadcast addresses are never given.
        reserved: the gateway and what the user set aside; by default the first address.
        within: the part that :meth:`allocate` chooses from; None: all.
        used: what endpoints have.
        cursor: the address given last, as a number; 0: none yet.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        subnet: AnyNetwork,
        *,
        reserved: Iterable[AnyAddress] | None = None,
        within: AnyNetwork | None = None,
        used: Iterable[AnyAddress] = (),
        cursor: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.subnet = subnet
        self._clock = clock
        self._make = type(subnet.network_address)
        self._reserved = {int(a) for a in ([gateway_of(subnet)] if reserved is None else reserved)}
        self._reserved |= {int(subnet.network_address)}
        last = int(subnet.broadcast_address)
        if subnet.version == 4:
            self._reserved.add(last)
        part = within or subnet
        self._first = int(part.network_address)
        self._count = part.num_addresses
        self._used = {int(a) for a in used}
        self._released: dict[int, float] = {}
        self.cursor = cursor

    def allocate(self) -> AnyAddress:
        """Take the next free address behind the one given last.

        An address given back less than :data:`QUARANTINE` ago is taken only when there is
        no other.

        Raises:
            ResourceExhausted: none is free.
        """
        self._forget_old()
        inside = self._first <= self.cursor < self._first + self._count
        start = self.cursor + 1 - self._first if inside else 0
        most = min(self._count, len(self._used) + len(self._reserved) + len(self._released) + 1)
        for avoid in (self._released, ()):
            for step in range(most):
                candidate = self._first + (start + step) % self._count
                taken = candidate in self._used or candidate in self._reserved
                if not taken and candidate not in avoid:
                    self.cursor = candidate
                    return self._take(candidate)
        raise ResourceExhausted(
            f"no address is left in {self.subnet}",
            step="allocate address",
            hint="remove containers, or configure a larger subnet",
        )

    def take(self, address: AnyAddress) -> AnyAddress:
        """Take this very address.

        Raises:
            InvalidArgument: it does not belong to the subnet.
            FailedPrecondition: it is taken, or reserved.
        """
        if address not in self.subnet:
            raise InvalidArgument(
                f"Invalid address {address}: It does not belong to any of this network's subnets"
            )
        if int(address) in self._used or int(address) in self._reserved:
            raise FailedPrecondition("Address already in use", step="")
        return self._take(int(address))

    def _take(self, number: int) -> AnyAddress:
        self._used.add(number)
        self._released.pop(number, None)
        return self._make(number)

    def release(self, address: AnyAddress) -> None:
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
