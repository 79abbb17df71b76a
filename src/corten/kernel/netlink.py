"""The one netlink message of the start path: set a link up."""

from __future__ import annotations

import posix
from _struct import pack, unpack_from

from corten.kernel._call import call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket

_RTM_NEWLINK = 16
_NLMSG_ERROR = 2
_NLM_F_REQUEST_ACK = 5
_IFF_UP = 1
NETLINK_ROUTE = 0
# by the bare calls: a fresh init need not import `_socket`
_AF_NETLINK = 16
_SOCK_RAW_CLOEXEC = 0o2000003


def route_socket() -> socket:
    """A NETLINK_ROUTE socket in the current network namespace, close-on-exec."""
    from _socket import AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, socket

    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)


def encode_link_up(index: int, sequence: int = 1) -> bytes:
    """RTM_NEWLINK that sets IFF_UP of the link with this index (rtnetlink(7))."""
    # struct nlmsghdr: length type flags sequence port; struct ifinfomsg: family type index
    # flags change
    return pack("=IHHII", 32, _RTM_NEWLINK, _NLM_F_REQUEST_ACK, sequence, 0) + pack(
        "=BxHiII", 0, 0, index, _IFF_UP, _IFF_UP
    )


def _index_of(name: str) -> int:
    from _socket import if_nametoindex

    return if_nametoindex(name)


def set_link_up(name: str = "lo", *, index: int = 0) -> None:
    """Set a link of the current network namespace up; in a new one ``lo`` has index 1."""
    index = index or (1 if name == "lo" else _index_of(name))
    sock = call("socket", None, _AF_NETLINK, _SOCK_RAW_CLOEXEC, NETLINK_ROUTE)
    try:
        posix.write(sock, encode_link_up(index))
        answer = posix.read(sock, 4096)
    finally:
        posix.close(sock)
    kind = unpack_from("=H", answer, 4)[0]
    code = -unpack_from("=i", answer, 16)[0] if kind == _NLMSG_ERROR else 0
    if code:
        raise OSError(code, f"set link up: {posix.strerror(code)}", name)
