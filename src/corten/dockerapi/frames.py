"""Docker's frames: how output and error output share one stream. No I/O.

Eight bytes before each piece: the stream's number, three zeros, the length (big-endian).
"""

from __future__ import annotations

STDIN, STDOUT, STDERR = 0, 1, 2
NUMBERS = {"stdout": STDOUT, "stderr": STDERR}


def frame(stream: int, data: bytes) -> bytes:
    """``data`` as one frame."""
    return bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data


class Decoder:
    """Takes frames apart, from pieces of any size."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that are complete now: stream number and payload."""
        self._pending += data
        frames = []
        while len(self._pending) >= 8:
            length = int.from_bytes(self._pending[4:8], "big")
            if len(self._pending) < 8 + length:
                break
            frames.append((self._pending[0], bytes(self._pending[8 : 8 + length])))
            del self._pending[: 8 + length]
        return frames
