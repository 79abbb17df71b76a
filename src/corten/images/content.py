"""The content store: an OCI image layout without an index (the names are in the database).

A blob is visible when it is complete, verified and on the disk, never before: it is written to
``R/ingest``, hashed as it passes, fsynced and renamed. OCI image specification, image-layout.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, TypeVar, cast

from corten.errors import CortenError, DataLoss, NotFound, ResourceExhausted, Unavailable
from corten.spec import digest as digests
from corten.spec.descriptor import Descriptor
from corten.spec.digest import HEX_LENGTH, Digest

T = TypeVar("T")

_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_FULL = (28, 122)  # ENOSPC, EDQUOT
_READ = 1 << 20


def explain(error: OSError, step: str) -> CortenError:
    """The error of ours for one of the file system's."""
    path = os.fsdecode(error.filename) if error.filename is not None else ""
    text = os.strerror(error.errno or 0)
    if error.errno in _FULL:
        return ResourceExhausted(
            "the disk is full",
            step=step,
            path=path,
            errno=error.errno,
            hint="free space, try again",
        )
    return Unavailable(text, step=step, path=path, errno=error.errno or 0)


class Content:
    """All blobs of one daemon. Reads verify; nothing unverified can be got out of it."""

    def __init__(self, root: str) -> None:
        """Arguments:
        root: the data root R.
        """
        self._root = os.path.abspath(root)
        self._ingest = f"{self._root}/ingest"
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="content")

    def prepare(self) -> None:
        """Make the directories; remove what a crash left in ``ingest``. Blocks; before use."""
        for path in (f"{self._root}/blobs/sha256", self._ingest):
            os.makedirs(path, mode=0o700, exist_ok=True)
        for name in os.listdir(self._ingest):
            remove_flat(f"{self._ingest}/{name}")
        layout = f"{self._root}/oci-layout"
        if not os.path.exists(layout):
            with open(layout, "wb") as file:  # noqa: PTH123  # eleven bytes, at start
                file.write(_LAYOUT)

    def close(self) -> None:
        """Wait for what is under way."""
        self._pool.shutdown()

    @property
    def scratch(self) -> str:
        """An existing directory that programs may cover in name spaces of their own."""
        return self._ingest

    def temporary(self, kind: str) -> str:
        """A path for a file or a flat directory that a crash may leave: the next start removes
        it."""
        return f"{self._ingest}/{kind}-{secrets.token_hex(6)}"

    async def run(self, fn: Callable[..., T], *args: object, step: str) -> T:
        """``fn(*args)`` in the store's threads, its OSError translated."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, fn, *args)
        except OSError as error:
            raise explain(error, step) from error

    def path(self, digest: Digest) -> str:
        """Where a blob is, or would be."""
        return f"{self._root}/blobs/{digest.algorithm}/{digest.hex}"

    async def size(self, digest: Digest) -> int | None:
        """Bytes of a blob, None where there is none."""

        def look() -> int | None:
            try:
                return os.stat(self.path(digest)).st_size
            except FileNotFoundError:
                return None

        return await self.run(look, step="look up blob")

    async def open(self, digest: Digest) -> int:
        """A descriptor of a whole blob, which the caller closes. NotFound if there is none."""

        def work() -> int:
            try:
                return os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise _missing(digest) from None

        return await self.run(work, step="open blob")

    async def read(self, digest: Digest, *, limit: int) -> bytes:
        """A small blob, verified.

        Raises:
            NotFound: there is none. DataLoss: the disk gave other bytes than were written.
        """
        return await self.run(self._read, digest, limit, step="read blob")

    def _read(self, digest: Digest, limit: int) -> bytes:
        try:
            with open(self.path(digest), "rb") as file:  # noqa: PTH123  # in a thread
                data = file.read(limit + 1)
        except FileNotFoundError:
            raise _missing(digest) from None
        if len(data) > limit:
            raise DataLoss(f"blob {digest} has more than {limit} bytes", step="read blob")
        if hashlib.new(digest.algorithm, data).hexdigest() != digest.hex:
            raise DataLoss(
                f"blob {digest} is damaged",
                step="read blob",
                path=self.path(digest),
                hint="remove the file and pull the image again",
            )
        return data

    async def ingest(self, descriptor: Descriptor) -> Ingest:
        """Begin to write a blob."""
        return await self.run(self._begin, descriptor, step="write blob")

    def _begin(self, descriptor: Descriptor) -> Ingest:
        path = f"{self._ingest}/{descriptor.digest.short}-{secrets.token_hex(6)}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        return Ingest(self, descriptor, path, fd)

    async def add(self, descriptor: Descriptor, data: bytes) -> None:
        """Write a whole small blob; nothing if it is there."""
        if await self.size(descriptor.digest) == descriptor.size:
            return
        async with await self.ingest(descriptor) as ingest:
            await ingest.write(data)
            await ingest.commit()

    async def build(self, write: Callable[[IO[bytes]], T], media_type: str) -> tuple[Descriptor, T]:
        """Add a blob that ``write`` produces, in a thread; its descriptor and that answer."""
        return await self.run(self._build, write, media_type, step="write blob")

    def _build(self, write: Callable[[IO[bytes]], T], media_type: str) -> tuple[Descriptor, T]:
        path = f"{self._ingest}/build-{secrets.token_hex(6)}"
        try:
            with open(path, "xb") as file:  # noqa: PTH123  # in a thread
                hashed = _Hashing(file)
                answer = write(cast("IO[bytes]", hashed))
                file.flush()
                digest = digests.sha256(hashed.hash.hexdigest())
                os.fsync(file.fileno())
                size = file.tell()
            publish(path, self.path(digest))
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(path)
            raise
        return Descriptor(media_type=media_type, digest=digest, size=size), answer

    async def adopt(self, path: str, digest: Digest) -> None:
        """Make a file of ``ingest`` a blob; whoever wrote it has hashed it."""

        def work() -> None:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            publish(path, self.path(digest))

        await self.run(work, step="write blob")

    async def total(self) -> int:
        """Bytes of all blobs."""

        def work() -> int:
            found = 0
            for algorithm in HEX_LENGTH:
                directory = f"{self._root}/blobs/{algorithm}"
                if os.path.isdir(directory):
                    with os.scandir(directory) as entries:
                        found += sum([entry.stat().st_size for entry in entries])
            return found

        return await self.run(work, step="measure blobs")

    async def sweep(self, keep: Collection[str]) -> list[str]:
        """Remove all blobs whose digest is not in ``keep``; returns them.

        The caller sees to it that no blob is being taken into use meanwhile.
        """
        return await self.run(self._sweep, keep, step="remove blobs")

    def _sweep(self, keep: Collection[str]) -> list[str]:
        removed = []
        for algorithm in HEX_LENGTH:
            directory = f"{self._root}/blobs/{algorithm}"
            if not os.path.isdir(directory):
                continue
            for name in os.listdir(directory):
                if f"{algorithm}:{name}" not in keep:
                    os.unlink(f"{directory}/{name}")
                    removed.append(f"{algorithm}:{name}")
        return removed


class Ingest:
    """One blob that is being written. Use as ``async with``: without :meth:`commit` it is gone."""

    def __init__(self, content: Content, descriptor: Descriptor, path: str, fd: int) -> None:
        self._content = content
        self._descriptor = descriptor
        self._path = path
        self._hash = hashlib.new(descriptor.digest.algorithm)
        # A write whose caller was cancelled still runs when the file is closed: its descriptor
        # must not be somebody else's by then.
        self._guard = threading.Lock()
        self._open = True
        self.fd = fd
        self.offset = 0

    async def __aenter__(self) -> Ingest:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.shield(self._content.run(self._abandon, step="write blob"))

    async def write(self, data: bytes) -> None:
        """Append. DataLoss as soon as there is more than the descriptor says."""
        if self.offset + len(data) > self._descriptor.size:
            raise DataLoss(
                f"{self._descriptor.digest} has more than {self._descriptor.size} bytes",
                step="verify blob",
            )
        await self._content.run(self._append, data, step="write blob")

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        with self._guard:
            if not self._open:
                return
            self._hash.update(view)
            while view:
                done = os.pwrite(self.fd, view, self.offset)
                self.offset += done
                view = view[done:]

    def restart(self) -> None:
        """Write from the beginning again: the source can't go on where it was.

        The file is not cut: a worker may be reading it, and the digests of both tell the truth.
        """
        self.offset = 0
        self._hash = hashlib.new(self._descriptor.digest.algorithm)

    async def commit(self) -> None:
        """Verify, and make the blob visible.

        Raises:
            DataLoss: another size or digest than the descriptor's.
        """
        want = self._descriptor
        if self.offset != want.size:
            raise DataLoss(
                f"{want.digest} has {self.offset} bytes, not {want.size} as announced",
                step="verify blob",
            )
        if self._hash.hexdigest() != want.digest.hex:
            raise DataLoss(
                f"what was received is {want.digest.algorithm}:{self._hash.hexdigest()}, "
                f"not {want.digest}",
                step="verify blob",
                hint="the registry or something on the way to it changed the content",
            )
        await self._content.run(self._publish, step="write blob")

    def _publish(self) -> None:
        with self._guard:
            if not self._open:
                return
            os.fsync(self.fd)
            publish(self._path, self._content.path(self._descriptor.digest))
            self._path = ""

    def _abandon(self) -> None:
        with self._guard:
            self._open = False
            os.close(self.fd)
            if self._path:
                os.unlink(self._path)


def remove_flat(path: str) -> None:
    """Remove a file, or a directory of files; nothing if it is gone."""
    try:
        os.unlink(path)
        return
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        pass
    for name in os.listdir(path):
        os.unlink(f"{path}/{name}")
    os.rmdir(path)


def publish(path: str, final: str) -> None:
    """Rename a synced file to its final name, for good."""
    directory = os.path.dirname(final)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    os.rename(path, final)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class _Hashing:
    """A file whose bytes are hashed as they are written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return self._file.write(data)


def _missing(digest: Digest) -> NotFound:
    return NotFound(
        f"blob {digest} is not in the store", step="open blob", hint="pull the image again"
    )
