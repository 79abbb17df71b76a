"""rtnetlink by hand: the dozen messages that a bridge network consists of.

pyroute2 knows all of rtnetlink and costs 180 ms and 33 MB to import; these few messages
cost nothing. A :class:`Rtnl` works on any NETLINK_ROUTE socket, whichever network
namespace it was opened in: that is how the daemon configures the inside of a namespace
it never enters. Messages are values (:class:`Message`), so they are tested as bytes.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

NETLINK_ROUTE = 0
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10  # acknowledgements without a copy of the request
_NETLINK_EXT_ACK = 11  # errors with the kernel's own words
_NETLINK_GET_STRICT_CHK = 12

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_REQUEST = 0x001
_NLM_F_ACK = 0x004
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_DUMP = 0x300
_NLM_F_DUMP_INTR = 0x10
_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1
_NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_ERROR = struct.Struct("=i")
_BUFFER = 256 << 10  # a dump's part is at most 32 KiB; several may wait
_DUMP_TRIES = 5


class Message(NamedTuple):
    """One request.

    Fields:
        type: ``RTM_…``.
        flags: besides REQUEST and ACK.
        body: the family's fixed part and its attributes.
        step: what it does, for the error: ``add veth c123456v1``.
    """

    type: int
    flags: int
    body: bytes
    step: str


class NetlinkError(OSError):
    """The kernel refused a message; ``step`` says which, ``strerror`` holds its own words."""

    def __init__(self, number: int, words: str, step: str) -> None:
        text = os.strerror(number)
        super().__init__(number, f"{text}: {words}" if words else text)
        self.step = step

    def __str__(self) -> str:
        return f"{self.step}: {self.strerror}"


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that consists of attributes."""
    return attribute(kind | _NLA_F_NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """A string attribute, ended by a zero."""
    return attribute(kind, value.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes of a message from ``offset`` on, by type."""
    found: dict[int, bytes] = {}
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            break
        found[kind & _NLA_TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


class Rtnl:
    """Requests and dumps over one NETLINK_ROUTE socket. For one thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._sequence = 0
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
            try:
                sock.setsockopt(_SOL_NETLINK, option, 1)
            except OSError:  # before 4.12 and 4.20: fewer words, slower dumps
                continue

    @classmethod
    def open(cls) -> Rtnl:
        """A socket in the calling thread's network namespace."""
        return cls(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE))

    @classmethod
    def borrow(cls, fd: int) -> Rtnl:
        """Use a copy of somebody's descriptor, in the namespace that it was opened in."""
        return cls(socket.socket(fileno=os.dup(fd)))

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Rtnl:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(self, *messages: Message) -> None:
        """Send the messages as one batch; the kernel executes them in order.

        All are executed, whatever becomes of one; so a batch that failed leaves what its
        other messages made.

        Raises:
            NetlinkError: the first message that was refused.
        """
        first = self._sequence + 1
        self._send(messages, _NLM_F_ACK)
        failure: NetlinkError | None = None
        waiting = len(messages)
        while waiting:
            for sequence, kind, flags, body in self._receive():
                if kind != _NLMSG_ERROR or not first <= sequence <= self._sequence:
                    continue  # an answer that an earlier user of the socket did not read
                waiting -= 1
                number, words = _verdict(flags, body)
                if number and (failure is None):
                    failure = NetlinkError(number, words, messages[sequence - first].step)
        if failure is not None:
            raise failure

    def get(self, message: Message) -> bytes:
        """The body of the answer to a request for one object."""
        answers = self._answers(message, 0, single=True)
        return answers[0]

    def dump(self, message: Message) -> list[bytes]:
        """The bodies of all objects of a kind, as one consistent list."""
        for _ in range(_DUMP_TRIES):
            try:
                return self._answers(message, NLM_F_DUMP, single=False)
            except InterruptedError:  # something changed meanwhile
                continue
        raise NetlinkError(errno.EINTR, "the list kept changing", message.step)

    def _answers(self, message: Message, flags: int, *, single: bool) -> list[bytes]:
        self._send((message,), flags)
        found: list[bytes] = []
        changed = False
        while True:
            for sequence, kind, answer_flags, body in self._receive():
                if sequence != self._sequence:
                    continue
                changed |= bool(answer_flags & _NLM_F_DUMP_INTR)
                if kind == _NLMSG_ERROR:
                    number, words = _verdict(answer_flags, body)
                    raise NetlinkError(number, words, message.step)
                if kind == _NLMSG_DONE:
                    if changed:
                        raise InterruptedError
                    return found
                found.append(body)
            if single and found:
                return found

    def _send(self, messages: tuple[Message, ...], flags: int) -> None:
        packet = b""
        for message in messages:
            self._sequence += 1
            packet += _HEADER.pack(
                _HEADER.size + len(message.body),
                message.type,
                message.flags | flags | _NLM_F_REQUEST,
                self._sequence,
                0,
            )
            packet += message.body + b"\0" * (-len(message.body) % 4)
        self._socket.send(packet)

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        """The messages of one packet: sequence number, type, flags, body."""
        data = self._socket.recv(_BUFFER)
        offset = 0
        while offset + _HEADER.size <= len(data):
            length, kind, flags, sequence, _port = _HEADER.unpack_from(data, offset)
            yield sequence, kind, flags, data[offset + _HEADER.size : offset + length]
            offset += (length + 3) & ~3


def _verdict(flags: int, body: bytes) -> tuple[int, str]:
    """Error number (0: done) and the kernel's words from an acknowledgement."""
    (code,) = _ERROR.unpack_from(body)
    words = ""
    if flags & _NLM_F_ACK_TLVS:
        offset = 4 + _HEADER.size
        if not flags & _NLM_F_CAPPED:
            (length,) = struct.unpack_from("=I", body, 4)
            offset = 4 + ((length + 3) & ~3)
        words = attributes(body, offset).get(_NLMSGERR_ATTR_MSG, b"").rstrip(b"\0").decode()
    return -code, words
