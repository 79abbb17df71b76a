"""Packets with descriptors over a ``SOCK_SEQPACKET`` socket; format in ``messages``.

Used by both ends. Nothing here waits: a full socket raises ``BlockingIOError`` from
:func:`send_packet`, an empty one makes :func:`receive_packet` return None.
"""

from __future__ import annotations

import fcntl
import os
from _socket import (
    CMSG_LEN,
    CMSG_SPACE,
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    SCM_RIGHTS,
    SOL_SOCKET,
)

from corten.errors import DataLoss, InvalidArgument, Unavailable
from corten.launch.messages import VERSION
from corten.spec.jsonlite import dumpb, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Socket
    from typing import Any

MAX_FDS = 200  # the kernel takes 253 in a packet (SCM_MAX_FD)
MAX_BODY = 64 << 10
MAX_PACKET = 128 << 10
MAX_DOCUMENT = 64 << 20
_INT = 4


def sealed_memfd(name: str, data: bytes) -> int:
    """A read-only copy of ``data`` as a descriptor (close-on-exec), its offset 0."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_memfd(fd: int, *, what: str) -> bytes:
    """Everything a memfd holds; it must be sealed against writing.

    Raises:
        InvalidArgument: not sealed, or larger than ``MAX_DOCUMENT``.
    """
    size = os.fstat(fd).st_size
    if size > MAX_DOCUMENT:
        raise InvalidArgument(f"{what} has {size} bytes, at most {MAX_DOCUMENT} are taken")
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        seals = 0
    if not seals & fcntl.F_SEAL_WRITE:
        raise InvalidArgument(f"{what} is no sealed memfd")
    return os.pread(fd, size, 0)


class Packet:
    """One message as received. The descriptors belong to whoever takes them;
    :meth:`close` closes what was not taken."""

    __slots__ = ("data", "fds")

    def __init__(self, data: dict[str, Any], fds: dict[str, int]) -> None:
        self.data = data
        self.fds = fds

    def take(self, name: str) -> int:
        """The descriptor called ``name``, now the caller's; -1 if there is none."""
        return self.fds.pop(name, -1)

    def close(self) -> None:
        """Close the descriptors that nobody took."""
        for fd in self.fds.values():
            os.close(fd)
        self.fds.clear()


def encode(data: dict[str, Any], fds: dict[str, int]) -> tuple[list[tuple[bytes, list[int]]], int]:
    """The packets (bytes, descriptors) of one message, and a memfd that the caller closes
    once they are sent (-1: none). ``data`` is changed."""
    data["v"] = VERSION
    numbers = dict(fds)
    spill = -1
    raw = dumpb({**data, "fds": list(numbers)} if numbers else data)
    if len(raw) > MAX_BODY:
        spill = sealed_memfd("corten-body", dumpb(data))
        numbers["body"] = spill
        short: dict[str, Any] = {"v": VERSION, "body": True, "fds": list(numbers)}
        if "id" in data:
            short["id"] = data["id"]
        raw = dumpb(short)
    packets: list[tuple[bytes, list[int]]] = []
    names = list(numbers)
    while len(names) > MAX_FDS:
        head, names = names[:MAX_FDS], names[MAX_FDS:]
        more = dumpb({"v": VERSION, "more": True, "fds": head})
        packets.append((more, [numbers[name] for name in head]))
        if len(names) <= MAX_FDS:
            rest = {"v": VERSION, "body": True, "fds": names} if spill >= 0 else dict(data)
            if "id" in data:
                rest["id"] = data["id"]
            rest["fds"] = names
            raw = dumpb(rest)
    packets.append((raw, [numbers[name] for name in names]))
    return packets, spill


def send_packet(sock: Socket, raw: bytes, fds: list[int]) -> None:
    """Send one packet, or raise ``BlockingIOError``.

    Raises:
        Unavailable: the other end is gone.
    """
    ancillary = []
    if fds:
        payload = b"".join([fd.to_bytes(_INT, "little") for fd in fds])
        ancillary = [(SOL_SOCKET, SCM_RIGHTS, payload)]
    try:
        sock.sendmsg([raw], ancillary, MSG_DONTWAIT | MSG_NOSIGNAL)
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

    __slots__ = ("_ahead", "_sock")

    def __init__(self, sock: Socket) -> None:
        self._sock = sock
        self._ahead: dict[str, int] = {}

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
                continue
            if self._ahead:
                packet.fds.update(self._ahead)
                self._ahead = {}
            if packet.data.get("body"):
                _read_body(packet)
            return packet

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
        raw, ancillary, flags, _ = sock.recvmsg(
            MAX_PACKET, CMSG_SPACE(_INT * (MAX_FDS + 1)), MSG_DONTWAIT | MSG_CMSG_CLOEXEC
        )
    except BlockingIOError:
        return None
    except OSError as error:
        raise Unavailable(
            f"the other end of the connection is gone: {error.strerror}", step="receive"
        ) from None
    fds = _descriptors(ancillary)
    try:
        if not raw:
            raise Unavailable("the other end closed the connection", step="receive")
        if flags & MSG_CTRUNC:
            raise DataLoss("descriptors were lost: the limit of open files is reached")
        data = loads(raw, what="message")
        names = data.get("fds", ()) if isinstance(data, dict) else None
        if names is None or len(names) != len(fds):
            raise DataLoss("a message does not name its descriptors")
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    return Packet(data, dict(zip(names, fds, strict=True)))


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    fds: list[int] = []
    for level, kind, payload in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            usable = len(payload) - len(payload) % _INT
            for at in range(0, usable, _INT):
                fds.append(int.from_bytes(payload[at : at + _INT], "little"))
    return fds


assert CMSG_LEN(_INT) > _INT
