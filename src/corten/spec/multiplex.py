"""Docker's framing of two output streams in one: bytes in, pieces out, no I/O.

Each frame is ``stream (1 byte), three zeros, length (4 bytes, big-endian)`` and its bytes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

STDOUT: Final = 1
STDERR: Final = 2
_HEADER: Final = 8


class Demultiplexer:
    """Feed it what was received; a long frame comes out in several pieces.

    Raises:
        DataLoss: the bytes are not such frames.
    """

    __slots__ = ("_buffer", "_left", "_stream")

    def __init__(self) -> None:
        self._buffer = b""
        self._left = 0
        self._stream = 0

    def feed(self, data: bytes) -> list[tuple[int, memoryview]]:
        """``(stream, piece)`` for what has come, in order."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        view = memoryview(data)
        pieces: list[tuple[int, memoryview]] = []
        offset, end = 0, len(view)
        while offset < end:
            if not self._left:
                if end - offset < _HEADER:
                    self._buffer = bytes(view[offset:])
                    break
                self._open(view[offset : offset + _HEADER])
                offset += _HEADER
                continue
            piece = view[offset : offset + self._left]
            pieces.append((self._stream, piece))
            self._left -= len(piece)
            offset += len(piece)
        return pieces

    def _open(self, header: memoryview) -> None:
        stream = header[0]
        if stream > STDERR or any(header[1:4]):
            from corten.errors import DataLoss  # not imported by a thin client that needs none

            raise DataLoss("the output stream is not in frames", step="demultiplex")
        self._stream = STDERR if stream == STDERR else STDOUT
        self._left = int.from_bytes(header[4:8], "big")
