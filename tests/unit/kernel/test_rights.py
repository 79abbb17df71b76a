"""Descriptors beside packets, by the bare calls."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from corten.kernel import rights


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


@pytest.mark.parametrize("count", [1, 3, rights.MOST])
def test_they_arrive_closed_on_exec(count: int) -> None:
    one, other = pair()
    reads, write = os.pipe()
    with one, other:
        rights.send(one.fileno(), b"three words here", [write] * count)
        os.close(write)
        data, fds = rights.receive(other.fileno())
    assert (data, len(fds)) == (b"three words here", count)
    for number, fd in enumerate(fds):
        assert not os.get_inheritable(fd)
        os.write(fd, bytes([number]))
        os.close(fd)
    assert os.read(reads, 100) == bytes(range(count))
    os.close(reads)


def test_between_both_ways() -> None:
    """What ``socket`` sends is read, and the other way round."""
    one, other = pair()
    with one, other:
        socket.send_fds(one, [b"x"], [0, 1])
        data, fds = rights.receive(other.fileno())
        assert (data, len(fds)) == (b"x", 2)
        rights.send(other.fileno(), b"y", fds)
        got, more, _, _ = socket.recv_fds(one, 10, 10)
        assert (got, len(more)) == (b"y", 2)
        for fd in (*fds, *more):
            os.close(fd)


def test_a_peer_that_has_gone() -> None:
    one, other = pair()
    with other:
        one.close()
        assert rights.receive(other.fileno()) == (b"", [])
        with pytest.raises(BrokenPipeError):
            rights.send(other.fileno(), b"x", [0])


def test_what_is_cut_leaves_nothing_open() -> None:
    one, other = pair()
    with one, other:
        before = set(os.listdir("/proc/self/fd"))
        socket.send_fds(one, [b"x" * (rights.LONGEST + 1)], [0, 1])
        with pytest.raises(OSError, match="cut"):
            rights.receive(other.fileno())
        assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("data", "count"), [(b"", 1), (b"x", 0), (b"x", rights.MOST + 1), (b"x" * 2000, 1)]
)
def test_limits(data: bytes, count: int) -> None:
    with pytest.raises(OSError, match="packet of") as raised:
        rights.send(0, data, [0] * count)
    assert raised.value.errno == errno.EMSGSIZE


def test_a_connection_is_accepted(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller,
    ):
        listener.bind(str(tmp_path / "s"))
        listener.listen(1)
        caller.connect(str(tmp_path / "s"))
        fd = rights.accept(listener.fileno())
        assert not os.get_inheritable(fd)
        caller.send(b"x")
        assert os.read(fd, 10) == b"x"
        os.close(fd)
