"""A socket as a source of packed bytes, and as where an archive goes."""

from __future__ import annotations

import hashlib
import os
import select

from isal import isal_zlib

from corten.errors import DeadlineExceeded, Internal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_READ = 1 << 18
_FULL = 1 << 18


class Incoming:
    """What a client sends, until its end of file.

    Arguments:
        patience: seconds without a byte after which the client has had its time; 0: for ever.
    """

    def __init__(self, fd: int, patience: float) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._patience = int(patience * 1000) if patience else -1
        self.position = 0

    def read(self, count: int = _READ) -> bytes:
        """Up to ``count`` bytes, ``b""`` at the end."""
        if not self._poll.poll(self._patience):
            raise DeadlineExceeded("the client sends nothing any more", step="read archive")
        data = os.read(self._fd, count)
        self.position += len(data)
        return data


class Outgoing:
    """Collects small writes."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = bytearray()

    def write(self, data: bytes) -> None:
        """Send now or later."""
        self._buffer += data
        if len(self._buffer) >= _FULL:
            self.flush()

    def flush(self) -> None:
        """Send everything."""
        view = memoryview(bytes(self._buffer))
        self._buffer.clear()
        while view:
            view = view[os.write(self._fd, view) :]


class Packed:
    """A file that is written packed: digests of both sides are known at the end."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._packer: Any = isal_zlib.compressobj(level=1, wbits=31)
        self._plain = hashlib.sha256()
        self._packed = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """More of the archive."""
        self._plain.update(data)
        self._put(self._packer.compress(data))

    def finish(self) -> tuple[str, str, int]:
        """Digest of the archive, digest of the file, bytes of the file."""
        self._put(self._packer.flush())
        plain, packed = self._plain.hexdigest(), self._packed.hexdigest()
        return f"sha256:{plain}", f"sha256:{packed}", self.size

    def _put(self, data: bytes) -> None:
        self._packed.update(data)
        self.size += len(data)
        view = memoryview(data)
        while view:
            done = os.write(self._fd, view)
            if not done:
                raise Internal("nothing was written", step="write layer")
            view = view[done:]


class Buffered:
    """Hands on what is written in large pieces."""

    def __init__(self, out: Packed) -> None:
        self._out = out
        self._buffer = bytearray()

    def write(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= _FULL:
            self.flush()

    def flush(self) -> None:
        self._out.write(bytes(self._buffer))
        self._buffer.clear()
