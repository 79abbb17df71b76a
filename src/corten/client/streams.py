"""A container's standard streams as a client holds them."""

from __future__ import annotations

import _socket

from corten.spec.multiplex import STDERR, STDOUT, Demultiplexer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


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
