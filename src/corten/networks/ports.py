"""Published ports: bound by the daemon itself, so that "in use" is found at once."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address

from corten.errors import CortenError, FailedPrecondition, InvalidArgument, PermissionDenied
from corten.networks.types import Listener, Port

_TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_BACKLOG = 128
_EPHEMERAL_TRIES = 16
_NO_SUCH_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)  # IPv6 is off


def bind_ports(
    ports: Iterable[Port], *, target_ip: str, target_ip6: str = ""
) -> tuple[Listener, ...]:
    """Bind every port; all or none.

    Arguments:
        ports: with ``host_port`` 0 where any will do, ``host_ip`` ``""`` for all addresses.
        target_ip: the container's address, for the relay.
        target_ip6: its IPv6 address, for what comes by IPv6; empty: that goes to the other.
    Returns:
        one record per socket, two for a port at all addresses (IPv4 and IPv6).
    Raises:
        FailedPrecondition: a port is in use, or an address is not this host's; named.
        InvalidArgument: a port that can't be.
    """
    bound: list[Listener] = []
    try:
        for port in ports:
            bound += _bind_port(_checked(port), target_ip, target_ip6 or target_ip)
    except BaseException:
        for listener in bound:
            listener.socket.close()
        raise
    return tuple(bound)


def _checked(port: Port) -> Port:
    if port.protocol not in _TYPES:
        raise InvalidArgument(f"port {describe(port)} can't be published: only tcp and udp can")
    last = port.host_port_end or port.host_port
    if not 1 <= port.container_port <= 65535 or not 0 <= port.host_port <= last <= 65535:
        raise InvalidArgument(f"port {describe(port)} is not between 1 and 65535")
    if port.host_ip:
        try:
            ip_address(port.host_ip)
        except ValueError:
            raise InvalidArgument(f"{port.host_ip!r} is no IP address to publish at") from None
    return port


def _bind_port(port: Port, target_ip: str, target_ip6: str) -> list[Listener]:
    return [
        Listener(
            port=Port(
                container_port=port.container_port,
                protocol=port.protocol,
                host_ip=address,
                host_port=sock.getsockname()[1],
            ),
            socket=sock,
            target=(target_ip6 if ":" in address else target_ip, port.container_port),
        )
        for address, sock in _sockets(port)
    ]


def _sockets(port: Port) -> list[tuple[str, socket.socket]]:
    """Of a range the first number that is free."""
    for number in range(port.host_port, max(port.host_port, port.host_port_end) + 1):
        try:
            if port.host_ip:
                return [_bind(port, port.host_ip, number)]
            return _bind_everywhere(port, number) if number else _bind_any(port)
        except FailedPrecondition as error:
            if error.errno != errno.EADDRINUSE or number >= port.host_port_end:
                raise
    raise AssertionError("unreachable")


def _bind_any(port: Port) -> list[tuple[str, socket.socket]]:
    """The kernel chooses for IPv4; the same number has to be free for IPv6."""
    for attempt in range(_EPHEMERAL_TRIES):
        address, first = _bind(port, "0.0.0.0", 0)
        try:
            second = _bind_second(port, first.getsockname()[1])
        except FailedPrecondition:
            first.close()
            if attempt == _EPHEMERAL_TRIES - 1:
                raise
            continue
        return [(address, first), *second]
    raise AssertionError("unreachable")


def _bind_everywhere(port: Port, number: int) -> list[tuple[str, socket.socket]]:
    first = _bind(port, "0.0.0.0", number)
    try:
        return [first, *_bind_second(port, number)]
    except BaseException:
        first[1].close()
        raise


def _bind_second(port: Port, number: int) -> list[tuple[str, socket.socket]]:
    try:
        return [_bind(port, "::", number)]
    except CortenError as error:
        if error.errno in _NO_SUCH_FAMILY:
            return []
        raise


def _bind(port: Port, address: str, number: int) -> tuple[str, socket.socket]:
    sock: socket.socket | None = None
    try:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, _TYPES[port.protocol])
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if port.protocol == "tcp":
            # Connections of a container that just ended may be in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, number))
        if port.protocol == "tcp":
            sock.listen(_BACKLOG)
    except OSError as error:
        if sock is not None:
            sock.close()
        raise _refusal(error, port, address, number) from None
    return address, sock


def _refusal(error: OSError, port: Port, address: str, number: int) -> CortenError:
    code = error.errno or 0
    where = f"{_bracketed(address)}:{number}/{port.protocol}"
    step = f"publish {describe(port)}"
    if code == errno.EADDRINUSE:
        return FailedPrecondition(
            f"port {where} is already in use",
            step=step,
            errno=code,
            hint=f"choose another host port, or see who has it: ss -lnp 'sport = :{number}'",
        )
    if code == errno.EADDRNOTAVAIL:
        return FailedPrecondition(f"{address} is no address of this host", step=step, errno=code)
    if code in (errno.EACCES, errno.EPERM):
        return PermissionDenied(f"port {where} may not be bound", step=step, errno=code)
    return FailedPrecondition(
        f"port {where} can't be bound: {os.strerror(code)}", step=step, errno=code
    )


def describe(port: Port) -> str:
    """A port in ``docker run -p`` form."""
    host = f"{_bracketed(port.host_ip)}:" if port.host_ip else ""
    number = f"{port.host_port}-{port.host_port_end}" if port.host_port_end else port.host_port
    return f"{host}{number or ''}:{port.container_port}/{port.protocol}".lstrip(":")


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def name_holder(
    error: FailedPrecondition, ports: Sequence[Port], find: Callable[[Port], str]
) -> FailedPrecondition:
    """The same error, with the container of ours that holds one of the ports.

    Arguments:
        find: gives the id of the container that published a port, or ``""``.
    """
    if error.errno != errno.EADDRINUSE:
        return error
    holders = [(p, h) for p in ports if p.host_port and (h := find(p))]
    if not holders:
        return error
    port, holder = holders[0]
    return FailedPrecondition(
        f"{error.message}: published by container {holder[:12]}",
        step=error.step,
        errno=error.errno,
        hint=f"stop container {holder[:12]}, or choose another host port than {port.host_port}",
    )
