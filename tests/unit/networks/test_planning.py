"""From what is asked for to a network's record."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from corten.errors import (
    CortenError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)
from corten.networks.addresses import AddressPool, AnyNetwork
from corten.networks.options import Options
from corten.networks.planning import check_driver, plan
from corten.networks.types import Network, NetworkConfig, NetworkSpec


def made(*, ours: tuple[str, ...] = (), taken: tuple[str, ...] = (), **fields: object) -> Network:
    spec = NetworkSpec(**{"name": "n", **fields})  # type: ignore[arg-type]  # the test's keywords
    networks: list[AnyNetwork] = [ip_network(text) for text in ours]
    return plan(
        spec,
        ident="i" * 64,
        interface="cbn",
        tenant="docker",
        config=NetworkConfig(),
        mtu=1500,
        ours=networks,
        taken=[*networks, *(ip_network(text) for text in taken)],
    )


def test_what_is_not_said_is_chosen_off_everything_else() -> None:
    found = made(ours=("172.17.0.0/16",), taken=("172.18.0.0/24",))
    assert (found.subnet4, found.gateway4, found.subnet6) == ("172.19.0.0/16", "172.19.0.1", "")
    assert not found.own_subnet4
    six = made(ipv6=True)
    assert six.subnet6.startswith("fd") and six.subnet6.endswith("/64")
    assert six.gateway6 == str(ip_network(six.subnet6).network_address + 1)


def test_what_is_said_is_kept() -> None:
    found = made(
        subnet4="10.9.0.7/24", gateway4="10.9.0.254", range4="10.9.0.128/25",
        aux={"h": "10.9.0.130"}, subnet6="fd00:9::/64",
        options={"com.docker.network.driver.mtu": "1400", "com.docker.network.bridge.name": "br9"},
    )  # fmt: skip
    assert (found.subnet4, found.gateway4, found.range4) == (
        "10.9.0.0/24", "10.9.0.254", "10.9.0.128/25",
    )  # fmt: skip
    assert (found.gateway6, found.own_gateway6, found.own_subnet6) == ("fd00:9::1", False, True)
    assert (found.mtu, found.interface) == (1400, "br9")


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"subnet4": "nonsense"}, InvalidArgument),
        ({"subnet4": "10.0.0.0/31"}, InvalidArgument),
        ({"subnet4": "fd00::/64"}, InvalidArgument),
        ({"subnet4": "172.17.3.0/24"}, PermissionDenied),
        ({"subnet4": "10.0.0.0/24", "gateway4": "10.1.0.1"}, InvalidArgument),
        ({"subnet4": "10.0.0.0/24", "range4": "10.0.0.0/16"}, InvalidArgument),
        ({"subnet4": "10.0.0.0/24", "aux": {"a": "10.1.0.1"}}, InvalidArgument),
        ({"options": {"com.docker.network.bridge.enable_icc": "maybe"}}, InvalidArgument),
        ({"options": {"com.docker.network.driver.mtu": "12"}}, InvalidArgument),
        ({"options": {"com.docker.network.bridge.name": "much-too-long-a-name"}}, InvalidArgument),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, object], kind: type[CortenError]) -> None:
    with pytest.raises(kind):
        made(**{"ours": ("172.17.0.0/16",), **fields})  # type: ignore[arg-type]  # the same


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"name": ""}, InvalidArgument),
        ({"name": " x"}, InvalidArgument),
        ({"name": "host"}, PermissionDenied),
        ({"name": "x", "driver": "host"}, PermissionDenied),
        ({"name": "x", "driver": "overlay"}, NotFound),
    ],
)
def test_names_and_drivers(fields: dict[str, str], kind: type[CortenError]) -> None:
    with pytest.raises(kind):
        check_driver(NetworkSpec(**fields))  # type: ignore[arg-type]  # the test's keywords


def test_options() -> None:
    spec = NetworkSpec(
        name="n",
        options={
            "com.docker.network.bridge.enable_icc": "false",
            "com.docker.network.bridge.enable_ip_masquerade": "0",
            "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1",
            "com.docker.network.container_iface_prefix": "net",
            "somebody.elses": "stays",
        },
    )
    assert Options.of(spec) == Options(
        talk=False, masquerade=False, host_ip="127.0.0.1", prefix="net"
    )


def test_addresses_from_a_range_and_by_name() -> None:
    pool = AddressPool(
        ip_network("10.0.0.0/24"),
        reserved=[ip_address("10.0.0.129"), ip_address("10.0.0.128")],
        within=ip_network("10.0.0.128/30"),
    )
    assert [str(pool.allocate()) for _ in range(2)] == ["10.0.0.130", "10.0.0.131"]
    assert str(pool.take(ip_address("10.0.0.5"))) == "10.0.0.5"
    with pytest.raises(FailedPrecondition, match="Address already in use"):
        pool.take(ip_address("10.0.0.5"))
    with pytest.raises(FailedPrecondition):
        pool.take(ip_address("10.0.0.129"))
    with pytest.raises(InvalidArgument, match="does not belong"):
        pool.take(ip_address("10.0.1.5"))


def test_ipv6_addresses() -> None:
    pool = AddressPool(ip_network("fd00:9::/64"))
    assert [str(pool.allocate()) for _ in range(2)] == ["fd00:9::2", "fd00:9::3"]
