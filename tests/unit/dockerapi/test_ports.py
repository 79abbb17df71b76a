"""Port specifications."""

from __future__ import annotations

import pytest

from corten.dockerapi import ports
from corten.dockerapi.requests import HostPort
from corten.engine.types import PortBinding
from corten.errors import InvalidArgument


def test_exposed() -> None:
    assert ports.exposed(["80", "53/udp", "8000-8002/TCP"]) == (
        "80/tcp",
        "53/udp",
        "8000/tcp",
        "8001/tcp",
        "8002/tcp",
    )


@pytest.mark.parametrize("text", ["", "x", "80/icmp", "0", "70000", "9-8", "1-"])
def test_no_port(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid"):
        ports.parse(text)


def test_bindings() -> None:
    given = {
        "80/tcp": [HostPort(host_ip="127.0.0.1", host_port="8080"), HostPort(host_port="")],
        "81/tcp": None,
        "82/udp": [],
    }
    assert ports.bindings(given) == (
        PortBinding(container_port=80, host_ip="127.0.0.1", host_port=8080),
        PortBinding(container_port=80),
    )


def test_range_of_host_ports_to_choose_from() -> None:
    assert ports.bindings({"80/tcp": [HostPort(host_port="8000-8010")]}) == (
        PortBinding(container_port=80, host_port=8000, host_port_end=8010),
    )


def test_bad_host_port() -> None:
    with pytest.raises(InvalidArgument, match="invalid port"):
        ports.bindings({"80/tcp": [HostPort(host_port="no")]})
