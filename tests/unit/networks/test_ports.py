"""Binding published ports, on the loopback interface of this machine."""

from __future__ import annotations

import socket

import pytest

from corten.errors import FailedPrecondition, InvalidArgument
from corten.networks.ports import bind_ports, describe
from corten.networks.types import Port


def port(**fields: object) -> Port:
    return Port(**{"container_port": 80, "host_ip": "127.0.0.1", **fields})  # type: ignore[arg-type]  # the test's own keywords


def test_a_port_listens_at_once() -> None:
    (listener,) = bind_ports([port()], target_ip="10.0.0.2")
    with listener.socket:
        number = listener.port.host_port
        assert number and listener.target == ("10.0.0.2", 80)
        socket.create_connection(("127.0.0.1", number), timeout=5).close()


def test_every_address_means_ipv4_and_ipv6_with_one_number() -> None:
    listeners = bind_ports([port(host_ip="")], target_ip="10.0.0.2")
    for listener in listeners:
        listener.socket.close()
    assert [x.port.host_ip for x in listeners] in (["0.0.0.0", "::"], ["0.0.0.0"])
    assert len({x.port.host_port for x in listeners}) == 1


def test_all_or_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        (free,) = bind_ports([port()], target_ip="10.0.0.2")
        free.socket.close()
        wanted = [port(host_port=free.port.host_port), port(host_port=number)]
        with pytest.raises(FailedPrecondition, match=f"127.0.0.1:{number}/tcp is already in use"):
            bind_ports(wanted, target_ip="10.0.0.2")
        socket.create_server(("127.0.0.1", free.port.host_port)).close()


def test_udp_is_bound_and_does_not_conflict_with_tcp() -> None:
    (tcp,) = bind_ports([port()], target_ip="10.0.0.2")
    number = tcp.port.host_port
    (udp,) = bind_ports([port(protocol="udp", host_port=number)], target_ip="10.0.0.2")
    assert udp.socket.type == socket.SOCK_DGRAM
    tcp.socket.close()
    udp.socket.close()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"protocol": "sctp"}, "only tcp and udp"),
        ({"container_port": 0}, "not between"),
        ({"host_port": 70000}, "not between"),
        ({"host_ip": "localhost"}, "no IP address"),
    ],
)
def test_impossible_ports_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        bind_ports([port(**fields)], target_ip="10.0.0.2")


def test_an_address_that_is_not_this_hosts_is_named() -> None:
    with pytest.raises(FailedPrecondition, match=r"198\.51\.100\.7 is no address of this host"):
        bind_ports([port(host_ip="198.51.100.7")], target_ip="10.0.0.2")


def test_ports_are_described_as_people_write_them() -> None:
    assert describe(Port(container_port=80)) == "80/tcp"
    assert describe(Port(container_port=80, host_port=8080)) == "8080:80/tcp"
    assert describe(Port(container_port=53, host_ip="::1", protocol="udp")) == "[::1]::53/udp"
