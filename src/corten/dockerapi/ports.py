"""Port specifications ("80", "80/tcp", "8000-8010/udp") and bindings. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from corten.dockerapi.requests import HostPort
from corten.engine.types import PortBinding
from corten.errors import InvalidArgument

_PROTOCOLS = ("tcp", "udp", "sctp")


def parse(text: str) -> list[tuple[int, str]]:
    """Ports and protocol of a specification, a range included.

    Raises:
        InvalidArgument: no port, or an unknown protocol.
    """
    numbers, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in _PROTOCOLS:
        raise InvalidArgument(f"invalid proto: {protocol}")
    first, last = _range(numbers, text)
    return [(port, protocol) for port in range(first, last + 1)]


def exposed(specifications: Iterable[str]) -> tuple[str, ...]:
    """``ExposedPorts`` as ``80/tcp``, ranges unfolded."""
    return tuple(f"{port}/{protocol}" for text in specifications for port, protocol in parse(text))


def bindings(given: Mapping[str, list[HostPort] | None]) -> tuple[PortBinding, ...]:
    """``PortBindings``; an entry without bindings publishes nothing, as in Docker.

    Raises:
        InvalidArgument: a port that is none.
    """
    result = []
    for text, wanted in given.items():
        for port, protocol in parse(text):
            result += [_binding(port, protocol, host) for host in wanted or ()]
    return tuple(result)


def _binding(port: int, protocol: str, host: HostPort) -> PortBinding:
    first = last = 0
    if host.host_port:
        first, last = _range(host.host_port, host.host_port, low=0)
    return PortBinding(
        container_port=port,
        protocol=protocol,
        host_ip=host.host_ip or "",
        host_port=first,
        host_port_end=last if last > first else 0,
    )


def _range(numbers: str, text: str, *, low: int = 1) -> tuple[int, int]:
    first, dash, last = numbers.partition("-")
    try:
        start, end = int(first), int(last if dash else first)
    except ValueError:
        raise InvalidArgument(f"invalid port specification: {text!r}") from None
    if not low <= start <= end <= 65535:
        raise InvalidArgument(f"invalid port specification: {text!r}")
    return start, end
