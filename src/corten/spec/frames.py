"""Frames of the native protocol (docs/protocol.md): bytes in, frames out, no I/O.

A frame is a 12-byte header and a payload:

    offset  size  field
    0       4     length of the payload, big-endian
    4       1     version of the protocol
    5       1     kind
    6       2     number of descriptors that came with the frame's first byte
    8       4     request number, chosen by the client, unique while it is open

Payloads are JSON, but those of ``LINES``: records of a log, each ``time (8), stream (1),
flags (1), length (4)`` and its bytes.
"""

from __future__ import annotations

from struct import Struct

from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

VERSION: Final = 1
HEADER: Final = Struct(">IBBHI")
LINE: Final = Struct(">QBBI")
# What the message of an exec begins with whose process could not be made; OCI runtimes say so.
EXEC_FAILED: Final = "OCI runtime exec failed: exec failed: unable to start container process: "
MAX_PAYLOAD: Final = 64 << 20
MAX_DESCRIPTORS: Final = 16

# Kinds. A request is answered by any number of ITEM and LINES, then by one REPLY or ERROR.
REQUEST: Final = 1
REPLY: Final = 2
ERROR: Final = 3
ITEM: Final = 4
LINES: Final = 5
CANCEL: Final = 6

STDOUT: Final = 1
STDERR: Final = 2
PARTIAL: Final = 1  # flag of a line that goes on in the next record


def encode(kind: int, request: int, payload: bytes = b"", descriptors: int = 0) -> bytes:
    """One frame.

    Arguments:
        request: the number of the request it belongs to.
        descriptors: how many descriptors travel with its first byte.
    """
    return HEADER.pack(len(payload), VERSION, kind, descriptors, request) + payload


def encode_line(time: int, stream: int, data: bytes, partial: bool) -> bytes:
    """One record of a ``LINES`` payload; ``time`` in nanoseconds since the epoch."""
    return LINE.pack(time, stream, PARTIAL if partial else 0, len(data)) + data


def decode_lines(payload: bytes) -> Iterator[tuple[int, int, bool, bytes]]:
    """``(time, stream, partial, data)`` of each record of a ``LINES`` payload."""
    offset, size = 0, LINE.size
    while offset < len(payload):
        if len(payload) - offset < size:
            raise InvalidArgument("a log record is cut short", step="decode frame")
        time, stream, flags, length = LINE.unpack_from(payload, offset)
        offset += size
        if len(payload) - offset < length:
            raise InvalidArgument("a log record is cut short", step="decode frame")
        yield time, stream, bool(flags & PARTIAL), payload[offset : offset + length]
        offset += length


class Frame:
    """One decoded frame."""

    __slots__ = ("descriptors", "kind", "payload", "request")

    def __init__(self, kind: int, request: int, payload: bytes, descriptors: int) -> None:
        self.kind = kind
        self.request = request
        self.payload = payload
        self.descriptors = descriptors


class FrameReader:
    """Collects bytes and gives whole frames.

    Raises:
        InvalidArgument: another version, too long, or too many descriptors; the connection
            can't be used any more.
    """

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Add received bytes; every frame that is complete now, in order."""
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        offset = 0
        while len(buffer) - offset >= HEADER.size:
            length, version, kind, descriptors, request = HEADER.unpack_from(buffer, offset)
            _check(length, version, descriptors)
            start = offset + HEADER.size
            if len(buffer) - start < length:
                break
            payload = bytes(buffer[start : start + length])
            frames.append(Frame(kind, request, payload, descriptors))
            offset = start + length
        if offset:
            del buffer[:offset]
        return frames


def _check(length: int, version: int, descriptors: int) -> None:
    if version != VERSION:
        raise InvalidArgument(
            f"the other side speaks version {version} of the protocol, this one {VERSION}",
            step="decode frame",
            hint="client and daemon come from different releases; upgrade the older one",
        )
    if length > MAX_PAYLOAD:
        raise InvalidArgument(
            f"a frame of {length} bytes is longer than the limit of {MAX_PAYLOAD}",
            step="decode frame",
        )
    if descriptors > MAX_DESCRIPTORS:
        raise InvalidArgument(
            f"a frame announces {descriptors} descriptors, at most {MAX_DESCRIPTORS} may travel",
            step="decode frame",
        )
