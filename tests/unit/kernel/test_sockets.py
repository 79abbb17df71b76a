"""Packets with descriptors, and the one netlink message."""

from __future__ import annotations

import errno
import os
import resource
import struct
from pathlib import Path

import pytest

from corten.kernel import netlink, sockets


def test_descriptors_travel_with_their_packet() -> None:
    left, right = sockets.seqpacket_pair()
    reader, writer = os.pipe()
    try:
        sockets.send_packet(left, b"first", [writer])
        sockets.send_packet(left, b"second")
        data, fds = sockets.recv_packet(right)
        assert data == b"first"
        os.write(fds[0], b"x")
        assert os.read(reader, 1) == b"x"
        assert not os.get_inheritable(fds[0])
        os.close(fds[0])
        assert sockets.recv_packet(right) == (b"second", [])
        assert sockets.peer_credentials(left) == (os.getpid(), os.geteuid(), os.getegid())
        left.close()
        assert sockets.recv_packet(right) == (b"", [])
    finally:
        for fd in (reader, writer):
            os.close(fd)
        left.close()
        right.close()


def test_what_a_peer_sent_is_there_although_it_left_something_unread() -> None:
    left, right = sockets.seqpacket_pair()
    sockets.send_packet(right, b"never read")
    sockets.send_packet(left, b"its last words")
    left.close()
    assert sockets.recv_packet(right) == (b"its last words", [])
    assert sockets.recv_packet(right) == (b"", [])
    right.close()


@pytest.mark.parametrize(("size", "room"), [(3, 64), (100, 1)])
def test_a_cut_packet_is_an_error_and_leaks_nothing(size: int, room: int) -> None:
    left, right = sockets.seqpacket_pair()
    before = len(list(Path("/proc/self/fd").iterdir()))
    try:
        sockets.send_packet(left, b"12345", [0, 1, 2])
        with pytest.raises(OSError, match="cut") as caught:
            sockets.recv_packet(right, size, room)
        assert caught.value.errno == errno.EMSGSIZE
        assert len(list(Path("/proc/self/fd").iterdir())) == before
    finally:
        left.close()
        right.close()


def test_descriptors_that_the_process_may_not_open_are_missed_not_the_bytes() -> None:
    left, right = sockets.seqpacket_pair()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        sockets.send_packet(left, b"12345", [0, 1, 2])
        resource.setrlimit(resource.RLIMIT_NOFILE, (right.fileno() + 1, before[1]))
        with pytest.raises(sockets.Cut) as caught:
            sockets.recv_packet(right)
        assert (caught.value.errno, caught.value.data) == (errno.EMFILE, b"12345")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        left.close()
        right.close()


def test_link_up_is_the_documented_message() -> None:
    raw = netlink.encode_link_up(7, sequence=3)
    length, kind, flags, sequence, port = struct.unpack_from("=IHHII", raw)
    assert (length, kind, sequence, port) == (len(raw), 16, 3, 0)
    assert flags == 1 | 4  # NLM_F_REQUEST | NLM_F_ACK
    assert struct.unpack_from("=BxHiII", raw, 16) == (0, 0, 7, 1, 1)


def test_a_link_that_is_not_there_is_named() -> None:
    with pytest.raises(OSError, match="set link up") as caught:
        netlink.set_link_up("nosuch", index=99999)
    assert caught.value.filename == "nosuch"
