"""One nftables rule set, encoded by hand: a destination port of an address is answered at
another one. For use inside of a container's network namespace by a process that imports
nothing (linux/netfilter/nf_tables.h)."""

from __future__ import annotations

import posix
from _socket import AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, inet_aton, socket
from _struct import pack, unpack_from

_NETLINK_NETFILTER = 12
_NLMSG_ERROR = 2
_REQUEST, _ACK, _CREATE = 0x1, 0x4, 0x400
_BATCH_BEGIN, _BATCH_END = 16, 17
_NFTABLES = 10
_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE = 0, 2, 3, 6
_FAMILY_IPV4 = 2
_NESTED = 0x8000
_LOCAL_OUT = 3
_PRIORITY_DSTNAT = -100
_REG_1, _REG_2 = 1, 2
_META_L4PROTO = 16
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_NAT_DNAT = 1
_TCP, _UDP = 6, 17


def redirect(table: str, address: str, port: int, *, udp: int, tcp: int) -> None:
    """In the current network namespace, have what is sent to ``address``:``port`` arrive at
    other ports of that address. Replaces the table.

    Raises:
        OSError: the kernel refuses it, or has no nf_tables.
    """
    sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, _NETLINK_NETFILTER)
    try:
        messages = encode(table, address, port, udp=udp, tcp=tcp)
        sock.send(b"".join(messages))
        # Begin and end of the batch are not acknowledged.
        waiting = len(messages) - 2
        while waiting > 0:
            waiting -= _acknowledged(sock.recv(1 << 16))
    finally:
        sock.close()


def _acknowledged(data: bytes) -> int:
    count, offset = 0, 0
    while offset + 16 <= len(data):
        length, kind = unpack_from("=IH", data, offset)
        if kind == _NLMSG_ERROR:
            code = -unpack_from("=i", data, offset + 16)[0]
            if code:
                raise OSError(code, f"nf_tables: {posix.strerror(code)}")
            count += 1
        offset += max((length + 3) & ~3, 16)
    return count


def encode(table: str, address: str, port: int, *, udp: int, tcp: int) -> list[bytes]:
    """The messages of the batch. Touches nothing."""
    name = _text(1, table)
    hook = _nest(4, _number(1, _LOCAL_OUT), _number(2, _PRIORITY_DSTNAT))
    chain = name + _text(3, "output") + hook + _number(5, 1) + _text(7, "nat")
    target = inet_aton(address)
    rules = [_rule(table, target, port, proto, to) for proto, to in ((_UDP, udp), (_TCP, tcp))]
    bodies = [
        (_NEWTABLE, name),
        (_DELTABLE, name),
        (_NEWTABLE, name),
        (_NEWCHAIN, chain),
        *[(_NEWRULE, rule) for rule in rules],
    ]
    inner = [
        _message((_NFTABLES << 8) | kind, _REQUEST | _ACK | _CREATE, number + 1, body)
        for number, (kind, body) in enumerate(bodies)
    ]
    last = len(inner) + 1
    return [_batch(_BATCH_BEGIN, 0), *inner, _batch(_BATCH_END, last)]


def _batch(kind: int, sequence: int) -> bytes:
    return pack("=IHHII", 20, kind, _REQUEST, sequence, 0) + pack("!BBH", 0, 0, _NFTABLES)


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    head = pack("=IHHII", 20 + len(body), kind, flags, sequence, 0)
    return head + pack("!BBH", _FAMILY_IPV4, 0, 0) + body


def _rule(table: str, address: bytes, port: int, protocol: int, to: int) -> bytes:
    """``ip daddr A PROTO dport P dnat to A:TO``."""
    expressions = (
        _expression("meta", _number(1, _REG_1) + _number(2, _META_L4PROTO)),
        _equals(bytes([protocol])),
        _load(_NETWORK_HEADER, 16, 4),
        _equals(address),
        _load(_TRANSPORT_HEADER, 2, 2),
        _equals(pack("!H", port)),
        _expression("immediate", _number(1, _REG_1) + _nest(2, _attribute(1, address))),
        _expression("immediate", _number(1, _REG_2) + _nest(2, _attribute(1, pack("!H", to)))),
        _expression(
            "nat",
            _number(1, _NAT_DNAT)
            + _number(2, _FAMILY_IPV4)
            + _number(3, _REG_1)
            + _number(5, _REG_2),
        ),
    )
    return _text(1, table) + _text(2, "output") + _nest(4, *expressions)


def _load(base: int, offset: int, length: int) -> bytes:
    values = _number(1, _REG_1) + _number(2, base) + _number(3, offset) + _number(4, length)
    return _expression("payload", values)


def _equals(value: bytes) -> bytes:
    return _expression("cmp", _number(1, _REG_1) + _number(2, 0) + _nest(3, _attribute(1, value)))


def _expression(name: str, data: bytes) -> bytes:
    return _nest(1, _text(1, name), _nest(2, data))


def _attribute(kind: int, value: bytes) -> bytes:
    return pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _nest(kind: int, *attributes: bytes) -> bytes:
    return _attribute(kind | _NESTED, b"".join(attributes))


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, pack("!i", value))
