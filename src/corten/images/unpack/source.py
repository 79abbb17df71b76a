"""A packed layer as chunks of its tar archive: a file that may still grow, decompressed.

What it is packed with is told from its first bytes, because media types in the wild are wrong.
"""

from __future__ import annotations

import os
from _struct import unpack

from corten.errors import Cancelled, DataLoss, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Final, Protocol

    class Readable(Protocol):
        """Where packed bytes come from."""

        def read(self, count: int = ...) -> bytes: ...


CHUNK: Final = 1 << 20
_READ = 1 << 18
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # after a first byte of 0x50 to 0x5f
_BEGINNINGS = {b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
ANNOUNCEMENT: Final = "<QB"  # bytes that can be read; 1 once there will be no more


class Growing:
    """The compressed file, read up to what its writer has announced.

    Arguments:
        fd: the file, read from offset 0.
        announcements: a pipe that carries ``ANNOUNCEMENT`` records; -1: the file is whole.
    """

    def __init__(self, fd: int, announcements: int) -> None:
        self._fd = fd
        self._pipe = announcements
        self._at = 0
        self._end = os.fstat(fd).st_size if announcements < 0 else 0
        self._final = announcements < 0

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._at

    def read(self, count: int = _READ) -> bytes:
        """Up to ``count`` bytes, ``b""`` at the end; waits for the writer.

        Raises:
            Cancelled: the writer gave up.
        """
        while self._at >= self._end:
            if self._final:
                return b""
            self._wait()
        data = os.pread(self._fd, min(count, self._end - self._at), self._at)
        if not data:
            raise DataLoss("the packed layer is shorter than announced", step="unpack layer")
        self._at += len(data)
        return data

    def _wait(self) -> None:
        record = b""
        while len(record) < 9:
            more = os.read(self._pipe, 9 - len(record))
            if not more:
                raise Cancelled("the download was given up", step="unpack layer")
            record += more
        self._end, final = unpack(ANNOUNCEMENT, record)
        self._final = bool(final)


def chunks(source: Readable) -> Iterator[bytes]:
    """The tar archive in ``source``.

    Everything is imported when this returns, and nothing unpacked before the first chunk is
    asked for: the caller goes where there are no files to import, and no harm to be done.

    Raises:
        DataLoss: the packing is damaged. InvalidArgument: packed with something unknown.
    """
    head = b""
    while len(head) < 6 and (more := source.read()):
        head += more
    for magic, name in _BEGINNINGS.items():
        if head.startswith(magic):
            raise InvalidArgument(f"the layer is packed with {name}", step="unpack layer")
    if head.startswith(_GZIP):
        return _gzip(source, head)
    if head.startswith(_ZSTD) or head[1:4] == _ZSTD_SKIPPABLE:
        return _zstd(source, head)
    return _plain(source, head)


def _plain(source: Readable, head: bytes) -> Iterator[bytes]:
    while head:
        yield head
        head = source.read(CHUNK)


def _gzip(source: Readable, data: bytes) -> Iterator[bytes]:
    from isal import isal_zlib

    def make() -> Any:
        return isal_zlib.decompressobj(wbits=31)  # 16 + 15: with gzip's header

    failure: Any = isal_zlib.error  # its stub calls the class an instance
    return _inflate(source, data, make, failure)


def _inflate(
    source: Readable, data: bytes, make: Callable[[], Any], failure: type[Exception]
) -> Iterator[bytes]:
    inflater = make()
    fed = False
    while True:
        if not data:
            data = source.read()
            if not data:
                break
        if inflater.eof:  # one more member; what is no member is padding, as gzip(1) sees it
            if not data.lstrip(b"\0"):
                data = b""
                continue
            inflater, fed = make(), False
        try:
            piece = inflater.decompress(data, CHUNK)
        except failure as error:
            raise DataLoss(f"the packed layer is damaged: {error}", step="unpack layer") from None
        fed = True
        data = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
        if piece:
            yield piece
    yield from _rest(inflater)
    if fed and not inflater.eof:
        raise DataLoss("the packed layer is cut off", step="unpack layer")


def _rest(inflater: Any) -> Iterator[bytes]:
    while not inflater.eof and (piece := inflater.decompress(b"", CHUNK)):
        yield piece


class _Replay:
    """A source whose first bytes were already read."""

    def __init__(self, source: Readable, head: bytes) -> None:
        self._source = source
        self._head = head

    def read(self, count: int) -> bytes:
        if self._head:
            data, self._head = self._head[:count], self._head[count:]
            return data
        return self._source.read(count)


def _zstd(source: Readable, head: bytes) -> Iterator[bytes]:
    import zstandard

    unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    replay: Any = _Replay(source, head)  # it needs nothing but read()
    reader = unpacker.stream_reader(replay, read_size=_READ, read_across_frames=True, closefd=False)
    return _read_zstd(reader, zstandard.ZstdError)


def _read_zstd(reader: Any, failure: type[Exception]) -> Iterator[bytes]:
    while True:
        try:
            piece = reader.read(CHUNK)
        except failure as error:
            raise DataLoss(f"the packed layer is damaged: {error}", step="unpack layer") from None
        if not piece:
            return
        yield piece
