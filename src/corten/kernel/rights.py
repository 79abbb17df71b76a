"""Sockets by the bare calls, descriptors beside a packet above all: for a process that has not
loaded ``_socket``, which takes a fresh interpreter 0.3 ms, or can't any more. Everybody else uses
:mod:`corten.kernel.sockets`.
"""

from __future__ import annotations

import posix
from _struct import calcsize, pack, unpack_from
from errno import EMSGSIZE

from corten.kernel._call import buffer, call, pointer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# struct msghdr: name, its length, iovec and their number, control and its length, flags
_HEADER = "QIxxxxQQQQixxxx"
_VECTOR = "QQ"  # struct iovec: where, how much
_RIGHTS = "Qii"  # struct cmsghdr: length, level, type; the descriptors follow
_SOL_SOCKET = 1
_SCM_RIGHTS = 1
_MSG_CTRUNC = 0x8
_MSG_TRUNC = 0x20
_MSG_NOSIGNAL = 0x4000
_MSG_CMSG_CLOEXEC = 0x40000000
_INT = 4
_VECTOR_AT = calcsize(_HEADER)
_CONTROL_AT = _VECTOR_AT + calcsize(_VECTOR)
_FDS_AT = _CONTROL_AT + calcsize(_RIGHTS)
MOST = 64  # descriptors of a packet
_DATA_AT = _FDS_AT + MOST * _INT
_SIZE = 1024
LONGEST = _SIZE - _DATA_AT  # bytes of a packet


def send(sock: int, data: bytes, fds: list[int]) -> None:
    """Send a packet with descriptors; they stay the caller's.

    Arguments:
        data: at least one byte, at most :data:`LONGEST`.
        fds: at least one, at most :data:`MOST`.
    Raises:
        OSError: EPIPE where the peer is gone; EMSGSIZE beyond those limits.
    """
    if not 0 < len(data) <= LONGEST or not 0 < len(fds) <= MOST:
        raise OSError(EMSGSIZE, f"packet of {len(data)} bytes and {len(fds)} descriptors")
    length = _FDS_AT - _CONTROL_AT + len(fds) * _INT
    message = _message(len(data), length)
    message[_CONTROL_AT : _FDS_AT + len(fds) * _INT] = pack(
        f"{_RIGHTS}{len(fds)}i", length, _SOL_SOCKET, _SCM_RIGHTS, *fds
    )
    message[_DATA_AT : _DATA_AT + len(data)] = data
    call("sendmsg", None, sock, message, _MSG_NOSIGNAL)


def receive(sock: int) -> tuple[bytes, list[int]]:
    """A packet as :func:`send` sends it; its descriptors are close-on-exec and the caller's.
    Empty where the peer has gone.

    Raises:
        OSError: EMSGSIZE, something was cut; nothing of it stays open.
    """
    message = _message(LONGEST, _DATA_AT - _CONTROL_AT)
    size = call("recvmsg", None, sock, message, _MSG_CMSG_CLOEXEC)
    *_, length, flags = unpack_from(_HEADER, message)
    fds: list[int] = []
    if length:
        control, level, kind = unpack_from(_RIGHTS, message, _CONTROL_AT)
        if (level, kind) == (_SOL_SOCKET, _SCM_RIGHTS):
            count = (control - (_FDS_AT - _CONTROL_AT)) // _INT
            fds = list(unpack_from(f"{count}i", message, _FDS_AT))
    if flags & (_MSG_TRUNC | _MSG_CTRUNC):
        for fd in fds:
            posix.close(fd)
        raise OSError(EMSGSIZE, "packet or its descriptors were cut")
    return message[_DATA_AT : _DATA_AT + size], fds


def accept(sock: int) -> int:
    """Wait for a connection to a listening socket: its descriptor, close-on-exec."""
    return call("accept4", None, sock, None, None, posix.O_CLOEXEC)


def _message(size: int, control: int) -> Any:
    """A message header with all that it points to, in one buffer."""
    message = buffer(_SIZE)
    at = pointer(message)
    head = pack(_HEADER, 0, 0, at + _VECTOR_AT, 1, at + _CONTROL_AT, control, 0)
    message[:_CONTROL_AT] = head + pack(_VECTOR, at + _DATA_AT, size)
    return message
