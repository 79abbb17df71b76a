"""Packets with descriptors over a ``SOCK_SEQPACKET`` socket; format in ``messages``.

Used by both ends, on sockets that do not block: a full one raises ``BlockingIOError`` from
:func:`send_packet`, an empty one makes :meth:`Receiver.receive` return None.
"""

from __future__ import annotations

import os
from errno import EMFILE

from corten.errors import CortenError, DataLoss, InvalidArgument, Unavailable, exhausted
from corten.kernel import process, sockets
from corten.launch.messages import VERSION
from corten.spec.jsonlite import dumpb, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Socket
    from typing import Any

    RawPacket = tuple[bytes, list[int]]

MAX_FDS = 200  # the kernel takes 253 in a packet (SCM_MAX_FD)
MAX_BODY = 64 << 10
MAX_PACKET = 128 << 10
MAX_DOCUMENT = 64 << 20


def sealed_memfd(name: str, data: bytes) -> int:
    """A read-only copy of ``data`` as a descriptor (close-on-exec), its offset 0."""
    return process.memfd(name, data)


def read_memfd(fd: int, *, what: str) -> bytes:
    """Everything that a sealed memfd holds; InvalidArgument if it is none or too large."""
    try:
        return process.read_memfd(fd, limit=MAX_DOCUMENT)
    except OSError as error:
        raise InvalidArgument(f"{what}: {error.strerror}", errno=error.errno or 0) from None


class Packet:
    """One message as received. The descriptors belong to whoever takes them;
    :meth:`close` closes what was not taken.

    Attributes:
        cut: this process had no room for the descriptors, and has none of them.
    """

    __slots__ = ("cut", "data", "fds")

    def __init__(self, data: dict[str, Any], fds: dict[str, int], *, cut: bool = False) -> None:
        self.data = data
        self.fds = fds
        self.cut = cut

    def check(self) -> None:
        """Raises ResourceExhausted if the descriptors are missing."""
        if self.cut:
            raise too_many_files("receive")

    def take(self, name: str) -> int:
        """The descriptor called ``name``, now the caller's; -1 if there is none."""
        return self.fds.pop(name, -1)

    def close(self) -> None:
        """Close the descriptors that nobody took."""
        for fd in self.fds.values():
            os.close(fd)
        self.fds.clear()


def too_many_files(step: str) -> CortenError:
    """No descriptor is left in this process."""
    error = exhausted(OSError(EMFILE, "Too many open files"), step=step)
    assert error is not None
    return error


def encode(data: dict[str, Any], fds: dict[str, int]) -> tuple[list[RawPacket], int]:
    """The packets (bytes, descriptors) of one message, in the order in which they must be
    sent, and a memfd that the caller closes once they are (-1: none)."""
    data = {"v": VERSION, **data}
    numbers = dict(fds)
    spill = -1
    if _too_long(dumpb(data)):
        spill = sealed_memfd("corten-body", dumpb(data))
        numbers["body"] = spill
        data = {"v": VERSION, "body": True}
    names = list(numbers)
    packets: list[RawPacket] = []
    while len(names) > MAX_FDS:
        head, names = names[:MAX_FDS], names[MAX_FDS:]
        ahead = dumpb({"v": VERSION, "more": True, "fds": head})
        packets.append((ahead, [numbers[name] for name in head]))
    if names:
        data["fds"] = names
    packets.append((dumpb(data), [numbers[name] for name in names]))
    return packets, spill


def _too_long(raw: bytes) -> bool:
    return len(raw) > MAX_BODY


def send_packet(sock: Socket, raw: bytes, fds: list[int]) -> None:
    """Send one packet, or raise ``BlockingIOError``.

    Raises:
        Unavailable: the other end is gone.
    """
    try:
        sockets.send_packet(sock, raw, fds)
    except BlockingIOError:
        raise
    except OSError as error:
        raise Unavailable(
            f"the other end of the connection is gone: {error.strerror}",
            step="send",
            errno=error.errno or 0,
        ) from None


class Receiver:
    """Collects the packets of one connection into messages."""

    __slots__ = ("_ahead", "_cut", "_sock")

    def __init__(self, sock: Socket) -> None:
        self._sock = sock
        self._ahead: dict[str, int] = {}
        self._cut = False

    def receive(self) -> Packet | None:
        """The next message; None: none is there now.

        Raises:
            Unavailable: the other end is gone.
            DataLoss, InvalidArgument: what came is no message of ours.
        """
        while True:
            packet = _receive_one(self._sock)
            if packet is None:
                return None
            if packet.data.get("more"):
                self._ahead.update(packet.fds)
                self._cut = self._cut or packet.cut
                continue
            packet.cut, self._cut = self._cut or packet.cut, False
            if self._ahead:
                packet.fds.update(self._ahead)
                self._ahead = {}
            if packet.cut:
                packet.close()
            elif packet.data.get("body"):
                _read_body(packet)
            return packet

    @property
    def busy(self) -> bool:
        """Descriptors have come ahead of their message."""
        return bool(self._ahead)

    def close(self) -> None:
        """Close descriptors that came ahead of a message that never did."""
        for fd in self._ahead.values():
            os.close(fd)
        self._ahead = {}


def _read_body(packet: Packet) -> None:
    body = packet.take("body")
    if body < 0:
        raise DataLoss("a message names a body and has none")
    try:
        packet.data = loads(read_memfd(body, what="message"), what="message")
    finally:
        os.close(body)


def _receive_one(sock: Socket) -> Packet | None:
    try:
        raw, fds = sockets.recv_packet(sock, MAX_PACKET, MAX_FDS + 1)
    except BlockingIOError:
        return None
    except sockets.Cut as error:
        return Packet(loads(error.data, what="message"), {}, cut=True)
    except OSError as error:
        raise Unavailable(
            f"the connection is of no more use: {error.strerror}",
            step="receive",
            errno=error.errno or 0,
        ) from None
    try:
        if not raw:
            raise Unavailable("the other end closed the connection", step="receive")
        data = loads(raw, what="message")
        names = data.get("fds", ()) if isinstance(data, dict) else None
        if names is None or len(names) != len(fds):
            raise DataLoss("a message does not name its descriptors")
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    return Packet(data, dict(zip(names, fds, strict=True)))
