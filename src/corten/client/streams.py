"""A container's standard streams as a client holds them."""

from __future__ import annotations

import _socket
import posix

from corten.errors import DataLoss

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

STDOUT = 1
STDERR = 2
_HEADER = 8


class Demultiplexer:
    """Docker's frames (stream, three zeros, length, bytes) to pieces of output; no I/O."""

    __slots__ = ("_buffer", "_left", "_stream")

    def __init__(self) -> None:
        self._buffer = b""
        self._left = 0
        self._stream = 0

    def feed(self, data: bytes) -> list[tuple[int, memoryview]]:
        """``(stream, piece)`` for what has come; a long frame comes in several pieces."""
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
            raise DataLoss("the output stream is not in frames", step="demultiplex")
        self._stream = STDERR if stream == STDERR else STDOUT
        self._left = int.from_bytes(header[4:8], "big")


class Stream:
    """Standard streams of a container or exec; close it, or use it in ``with``.

    Arguments:
        fd: the connected socket; becomes the stream's.
        tty: a terminal: raw bytes instead of frames.
    """

    def __init__(self, fd: int, *, tty: bool) -> None:
        self._sock = _socket.socket(fileno=fd)
        self._demux = None if tty else Demultiplexer()
        self.tty = tty

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()

    def detach(self) -> int:
        """Give the descriptor away; the stream can't be used any more."""
        return self._sock.detach()

    def write(self, data: bytes) -> None:
        """Send to standard input, all of it."""
        self._sock.sendall(data)

    def close_stdin(self) -> None:
        """End of file for the process's standard input."""
        self._sock.shutdown(_socket.SHUT_WR)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """``(1 or 2, bytes)`` until the process has ended; a terminal has only 1."""
        while True:
            data = self._sock.recv(64 << 10)
            if not data:
                return
            if self._demux is None:
                yield STDOUT, data
                continue
            for stream, piece in self._demux.feed(data):
                yield stream, bytes(piece)

    def read_all(self) -> tuple[bytes, bytes]:
        """Everything until the end: standard output and standard error."""
        parts: dict[int, list[bytes]] = {STDOUT: [], STDERR: []}
        for stream, data in self:
            parts[stream].append(data)
        return b"".join(parts[STDOUT]), b"".join(parts[STDERR])


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write to a blocking descriptor until everything is out."""
    view = memoryview(data)
    while view:
        view = view[posix.write(fd, view) :]
