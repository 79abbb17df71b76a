"""rtnetlink messages as bytes, and the kernel's answers, without a kernel."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface

import pytest

from corten.networks import links
from corten.networks.rtnl import Message, NetlinkError, Rtnl, attribute, attributes, nested, text

HEADER = struct.Struct("=IHHII")


@pytest.fixture
def pair() -> Iterator[tuple[Rtnl, socket.socket]]:
    """Our end, and a kernel's that the test plays."""
    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    rtnl = Rtnl(ours)
    try:
        yield rtnl, kernel
    finally:
        rtnl.close()
        kernel.close()


def answer(sequence: int, kind: int, body: bytes, flags: int = 0) -> bytes:
    padding = b"\0" * (-len(body) % 4)
    return HEADER.pack(HEADER.size + len(body), kind, flags, sequence, 0) + body + padding


def acknowledgement(sequence: int, number: int = 0, words: str = "") -> bytes:
    """As with NETLINK_CAP_ACK and NETLINK_EXT_ACK."""
    body = struct.pack("=i", -number) + bytes(HEADER.size)
    if words:
        return answer(sequence, 2, body + text(1, words), 0x100 | 0x200)
    return answer(sequence, 2, body, 0x100)


def test_attributes_are_padded_and_nest() -> None:
    assert text(3, "lo") == b"\x07\x00\x03\x00lo\0\0"
    data = nested(18, text(1, "veth"), attribute(2, b"x"))
    assert attributes(attributes(data)[18]) == {1: b"veth\0", 2: b"x"}


def test_a_truncated_attribute_ends_the_list() -> None:
    assert attributes(b"\x02\x00\x01\x00") == {}
    assert attributes(b"\x05") == {}


def test_a_batch_is_one_packet_and_the_first_refusal_is_raised(
    pair: tuple[Rtnl, socket.socket],
) -> None:
    rtnl, kernel = pair
    stale = acknowledgement(99, errno.EPERM)  # of an earlier user of the socket
    kernel.send(stale + acknowledgement(1) + acknowledgement(2, errno.EEXIST, "in use"))
    kernel.send(acknowledgement(3, errno.ENODEV))
    with pytest.raises(NetlinkError) as caught:
        rtnl.request(links.set_up("a"), links.set_up("b"), links.set_up("c"))
    assert caught.value.errno == errno.EEXIST
    assert str(caught.value) == "bring up b: File exists: in use"
    packet = kernel.recv(4096)
    lengths = []
    while packet:
        length, kind, flags, _sequence, _port = HEADER.unpack_from(packet)
        assert (kind, flags) == (16, 0x5)
        lengths.append(length)
        packet = packet[(length + 3) & ~3 :]
    assert len(lengths) == 3


def test_a_dump_that_changed_is_asked_for_again(pair: tuple[Rtnl, socket.socket]) -> None:
    rtnl, kernel = pair
    kernel.send(answer(1, 16, b"old", 0x10) + answer(1, 3, bytes(4)))
    kernel.send(answer(2, 16, b"one"))
    kernel.send(answer(2, 16, b"two") + answer(2, 3, bytes(4)))
    assert rtnl.dump(Message(18, 0, b"", "list")) == [b"one", b"two"]


def test_a_refused_question_raises(pair: tuple[Rtnl, socket.socket]) -> None:
    rtnl, kernel = pair
    kernel.send(acknowledgement(1, errno.EPERM))
    with pytest.raises(NetlinkError, match="list: Operation not permitted"):
        rtnl.dump(Message(18, 0, b"", "list"))


def test_the_default_route_in_bytes() -> None:
    message = links.add_default_route(IPv4Address("172.17.0.1"))
    assert message.type == 24
    assert message.body == b"\x02\0\0\0\xfe\x03\0\x01\0\0\0\0" + b"\x08\0\x05\0\xac\x11\0\x01"


def test_the_address_in_bytes() -> None:
    message = links.add_address(7, IPv4Interface("172.17.0.2/16"))
    assert message.body[:8] == b"\x02\x10\0\0" + struct.pack("=I", 7)
    assert attributes(message.body, 8) == {
        1: b"\xac\x11\0\x02",
        2: b"\xac\x11\0\x02",
        4: b"\xac\x11\xff\xff",
    }


def test_the_veth_pair_in_bytes() -> None:
    message = links.add_veth(
        "host0", master=5, mtu=1400, peer="eth0", peer_mac="02:42:ac:11:00:02", peer_netns_fd=9
    )
    top = attributes(message.body, 16)
    assert (top[3], top[10]) == (b"host0\0", struct.pack("=I", 5))
    info = attributes(top[18])
    assert info[1] == b"veth\0"
    peer = attributes(attributes(info[2])[1], 16)
    assert peer[3] == b"eth0\0"
    assert peer[1] == b"\x02\x42\xac\x11\x00\x02"
    assert peer[28] == struct.pack("=I", 9)
