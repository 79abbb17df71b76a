"""Packets with descriptors over unix sockets, on ``_socket`` (``socket`` imports ``enum``)."""

from __future__ import annotations

import posix
from _socket import (
    AF_UNIX,
    CMSG_SPACE,
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    MSG_NOSIGNAL,
    MSG_TRUNC,
    SCM_RIGHTS,
    SO_PEERCRED,
    SOCK_CLOEXEC,
    SOCK_SEQPACKET,
    SOL_SOCKET,
    socket,
    socketpair,
)
from _struct import pack, unpack
from errno import EMFILE, EMSGSIZE

MAX_FDS = 253  # SCM_MAX_FD of the kernel


def seqpacket_pair() -> tuple[socket, socket]:
    """Two connected packet sockets, close-on-exec."""
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)


class Cut(OSError):
    """A packet whose descriptors there was no room for in this process; ``data`` has come."""

    def __init__(self, data: bytes) -> None:
        super().__init__(EMFILE, "Too many open files")
        self.data = data


def send_packet(sock: socket, data: bytes, fds: list[int] | tuple[int, ...] = ()) -> None:
    """Send one packet with descriptors beside it; they stay the caller's.

    Raises:
        OSError: EMSGSIZE beyond the socket's buffer; EAGAIN where non-blocking and full;
            EPIPE where the peer is gone.
    """
    rights = [(SOL_SOCKET, SCM_RIGHTS, pack(f"{len(fds)}i", *fds))] if fds else []
    sent = sock.sendmsg([data], rights, MSG_NOSIGNAL)
    if sent != len(data):
        raise OSError(EMSGSIZE, f"packet cut to {sent} of {len(data)} bytes")


def recv_packet(sock: socket, size: int = 65536, max_fds: int = 64) -> tuple[bytes, list[int]]:
    """Receive one packet; ``b""`` without descriptors means that the peer is gone.

    Returns:
        The bytes and the descriptors, close-on-exec, owned by the caller.
    Raises:
        OSError: EMSGSIZE where bytes or descriptors did not fit; nothing stays open then.
        Cut: this process may not open so many; none of them stays open then.
    """
    room = CMSG_SPACE(4 * max_fds)
    try:
        data, ancillary, flags, _ = sock.recvmsg(size, room, MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        # The peer left something unread when it closed. The kernel says so once, ahead of what
        # the peer had sent, which is still there (unix_release_sock, sock_error).
        data, ancillary, flags, _ = sock.recvmsg(size, room, MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for level, kind, raw in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            whole = len(raw) // 4
            fds.extend(unpack(f"{whole}i", raw[: whole * 4]))
    if flags & (MSG_TRUNC | MSG_CTRUNC):
        for fd in fds:
            posix.close(fd)
        if flags & MSG_TRUNC or len(fds) >= max_fds:
            raise OSError(EMSGSIZE, "packet or its descriptors were cut")
        raise Cut(data)
    return data, fds


def peer_credentials(sock: socket) -> tuple[int, int, int]:
    """``(pid, uid, gid)`` of the process that connected."""
    pid, uid, gid = unpack("3i", sock.getsockopt(SOL_SOCKET, SO_PEERCRED, 12))
    return pid, uid, gid
