"""An archive of images, as it comes, into numbered files: nothing in it is believed yet.

The names inside are only keys of the answer; files are called 0, 1, 2, … in a directory that is
this program's root by then.
"""

from __future__ import annotations

import hashlib
import os

from corten.errors import InvalidArgument, ResourceExhausted
from corten.images.trees.stream import Packed
from corten.images.unpack import tar
from corten.images.unpack.apply import split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_ENTRIES = 20_000
_NAME = 1024
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
_LINK_KINDS = (tar.HARD_LINK, tar.SYMLINK)


class Spool:
    """Writes members into ``root``; :attr:`answer` tells what there is."""

    def __init__(self, root: int, limit: int) -> None:
        """Arguments:
        limit: bytes of all members together.
        """
        self._root = root
        self._left = limit
        self._files: dict[str, dict[str, Any]] = {}
        self._links: dict[str, str] = {}
        self._count = 0

    def add(self, entry: tar.Entry, data: Iterator[memoryview]) -> None:
        """One member."""
        self._count += 1
        if self._count > _ENTRIES:
            raise InvalidArgument(f"the archive has more than {_ENTRIES} members")
        name = b"/".join(split(entry.name))
        if len(name) > _NAME:
            raise InvalidArgument("the archive has a name that is too long")
        key = name.decode("utf-8", "replace")
        if entry.kind == tar.REGULAR:
            self._links.pop(key, None)
            self._files[key] = self._write(name, entry, data)
        elif entry.kind in _LINK_KINDS:
            # docker save writes a layer that two images have once, and links to it.
            base = name.rpartition(b"/")[0] if entry.kind == tar.SYMLINK else b""
            target = b"/".join(split(base + b"/" + entry.link))
            self._links[key] = target.decode("utf-8", "replace")

    def _write(self, name: bytes, entry: tar.Entry, data: Iterator[memoryview]) -> dict[str, Any]:
        if entry.regions is not None:
            raise InvalidArgument("the archive has a sparse file")
        self._left -= entry.size
        if self._left < 0:
            raise ResourceExhausted("the archive is larger than allowed", step="read archive")
        number = str(len(self._files) + len(self._links) + self._count)
        fd = os.open(number, _NEW, 0o600, dir_fd=self._root)
        try:
            # A layout's blobs keep their bytes, for these have digests; a plain layer of
            # docker's is kept packed, as it will be pushed.
            if name.endswith(b".tar") and not name.startswith(b"blobs/"):
                return {"file": number} | _layer(fd, data)
            return {"file": number} | _copy(fd, data)
        finally:
            os.close(fd)

    @property
    def answer(self) -> dict[str, Any]:
        """``files``: by name; ``links``: name to name."""
        return {"files": self._files, "links": self._links}


def _copy(fd: int, data: Iterator[memoryview], head: bytes = b"") -> dict[str, Any]:
    digest = hashlib.sha256(head)
    size = len(head)
    _put(fd, memoryview(head))
    for piece in data:
        digest.update(piece)
        size += len(piece)
        _put(fd, piece)
    return {"digest": f"sha256:{digest.hexdigest()}", "size": size, "packed": ""}


def _layer(fd: int, data: Iterator[memoryview]) -> dict[str, Any]:
    head = b""
    for piece in data:
        head += piece
        if len(head) >= 4:
            break
    for magic in _PACKED:
        if head.startswith(magic):
            packed = "gzip" if magic == _PACKED[0] else "zstd"
            return _copy(fd, data, head) | {"packed": packed}
    out = Packed(fd)
    out.write(head)
    for piece in data:
        out.write(bytes(piece))
    diff_id, digest, size = out.finish()
    return {"digest": digest, "size": size, "packed": "gzip", "diff_id": diff_id}


def _put(fd: int, view: memoryview) -> None:
    while view:
        view = view[os.write(fd, view) :]


def one_layer(chunks: Iterator[bytes], out: Packed) -> dict[str, Any]:
    """An archive that is itself a layer (``import``): read through, written packed."""
    reader = tar.Reader(_Tee(chunks, out))
    for _, _ in reader:
        pass
    reader.drain()
    diff_id, digest, size = out.finish()
    return {"digest": digest, "size": size, "diff_id": diff_id}


class _Tee:
    """Chunks that are written as they pass."""

    def __init__(self, chunks: Iterator[bytes], out: Packed) -> None:
        self._chunks = chunks
        self._out = out

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        self._out.write(chunk)
        return chunk
