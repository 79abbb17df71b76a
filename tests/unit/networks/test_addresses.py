"""Choosing subnets and addresses."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from corten.errors import InvalidArgument, ResourceExhausted
from corten.networks.addresses import (
    QUARANTINE,
    AddressPool,
    choose_subnet,
    gateway_of,
    mac_of,
    parse_subnet,
)
from corten.networks.types import NetworkConfig

POOLS = NetworkConfig().pools


def choose(*taken: str) -> str:
    return str(choose_subnet(POOLS, [IPv4Network(t) for t in taken]))


def test_the_order_of_the_pools_is_dockers() -> None:
    assert choose() == "172.17.0.0/16"
    assert choose("172.17.0.0/16") == "172.18.0.0/16"
    assert choose("172.16.0.0/12") == "192.168.0.0/20"
    assert choose("172.16.0.0/12", "192.168.3.0/24") == "192.168.16.0/20"


def test_a_default_route_is_no_obstacle_but_a_host_route_is() -> None:
    assert choose("0.0.0.0/0") == "172.17.0.0/16"
    assert choose("0.0.0.0/0", "172.17.9.9/32") == "172.18.0.0/16"


def test_no_free_subnet_is_an_error_with_a_hint() -> None:
    with pytest.raises(ResourceExhausted) as caught:
        choose("172.16.0.0/12", "192.168.0.0/16")
    assert "configuration" in caught.value.hint


@pytest.mark.parametrize("text", ["10.0.0.0", "10.0.0.0/31", "10.0.0.1/8", "fd00::/64", ""])
def test_unusable_subnets_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_subnet(text)


def test_gateway_and_mac_are_dockers() -> None:
    assert gateway_of(IPv4Network("172.17.0.0/16")) == IPv4Address("172.17.0.1")
    assert mac_of(IPv4Address("172.17.0.2")) == "02:42:ac:11:00:02"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def small(clock: Clock, *, cursor: int = 0) -> AddressPool:
    return AddressPool(IPv4Network("10.0.0.0/29"), clock=clock, cursor=cursor)  # .2 to .6


def test_addresses_are_not_reused_at_once() -> None:
    pool = small(Clock())
    first = pool.allocate()
    assert str(first) == "10.0.0.2"
    pool.release(first)
    assert [str(pool.allocate()) for _ in range(4)] == [f"10.0.0.{n}" for n in (3, 4, 5, 6)]


def test_one_in_quarantine_is_better_than_none() -> None:
    pool = small(Clock())
    everything = [pool.allocate() for _ in range(5)]
    pool.release(everything[2])
    assert pool.allocate() == everything[2]
    with pytest.raises(ResourceExhausted, match=r"10\.0\.0\.0/29"):
        pool.allocate()


def test_quarantine_ends() -> None:
    clock = Clock()
    pool = small(clock)
    everything = [pool.allocate() for _ in range(5)]
    pool.release(everything[3])
    clock.now += QUARANTINE + 1
    pool.release(everything[0])
    assert pool.allocate() == everything[3]


def test_the_cursor_survives_a_restart() -> None:
    pool = small(Clock())
    pool.allocate()
    pool.allocate()
    again = small(Clock(), cursor=pool.cursor)
    assert str(again.allocate()) == "10.0.0.4"


def test_release_is_idempotent() -> None:
    clock = Clock()
    pool = small(clock)
    address = pool.allocate()
    pool.release(address)
    pool.release(address)
    assert len({pool.allocate() for _ in range(5)}) == 5
