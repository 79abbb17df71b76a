"""``save``: an archive that is docker's and an OCI layout at once, of the bytes in the store."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack

from corten.errors import Cancelled, DataLoss
from corten.images import archive_docs as docs
from corten.images.content import Content
from corten.images.trees import tarwrite
from corten.images.trees.service import Transfer
from corten.images.unpack import tar
from corten.spec import image
from corten.spec.descriptor import Descriptor
from corten.spec.image import Manifest
from corten.spec.reference import Reference

_READ = 1 << 18
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


class Wanted:
    """An image to save, with the names it is saved under."""

    __slots__ = ("described", "names")

    def __init__(self, described: Descriptor, names: Sequence[Reference]) -> None:
        self.described = described
        self.names = tuple(names)


class Saver:
    """Writes archives of images."""

    def __init__(self, content: Content) -> None:
        self._content = content

    async def save(self, images: Sequence[Wanted]) -> Transfer[None]:
        """All of it over the transfer's socket, each blob once.

        Raises:
            NotFound: a blob is not in the store.
        """
        manifests = [await self._manifest(one) for one in images]
        blobs: dict[str, Descriptor] = {}
        for one, manifest in zip(images, manifests, strict=True):
            for blob in (manifest.config, *manifest.layers, one.described):
                blobs[str(blob.digest)] = blob
        for blob in blobs.values():
            os.close(await self._content.open(blob.digest))  # told before anything is sent
        client, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        async with AsyncExitStack() as stack:
            stack.callback(client.close)
            task = asyncio.ensure_future(self._send(ours, images, manifests, blobs))
            stack.push_async_callback(_end, task)

            async def finish() -> None:
                await asyncio.shield(task)

            return Transfer(client, stack.pop_all(), finish)

    async def _manifest(self, one: Wanted) -> Manifest:
        raw = await self._content.read(one.described.digest, limit=image.MANIFEST_LIMIT)
        parsed = image.parse_manifest(raw, one.described.media_type)
        assert isinstance(parsed, Manifest)
        return parsed

    async def _send(
        self,
        out: socket.socket,
        images: Sequence[Wanted],
        manifests: Sequence[Manifest],
        blobs: dict[str, Descriptor],
    ) -> None:
        try:
            await self._write(out, images, manifests, blobs)
        except (BrokenPipeError, ConnectionResetError):
            raise Cancelled("the client is gone", step="save") from None
        finally:
            out.close()

    async def _write(
        self,
        out: socket.socket,
        images: Sequence[Wanted],
        manifests: Sequence[Manifest],
        blobs: dict[str, Descriptor],
    ) -> None:
        loop = asyncio.get_running_loop()
        for directory in (b"blobs/", b"blobs/sha256/"):
            entry = tar.Entry(tar.DIRECTORY, directory, 0)
            entry.mode = 0o755
            await loop.sock_sendall(out, tarwrite.header(entry))
        for blob in blobs.values():
            await self._blob(out, blob)
        entries = []
        saved = []
        for one, manifest in zip(images, manifests, strict=True):
            for name in one.names or (None,):
                entries.append((one.described, name))
            layers = [layer.digest.hex for layer in manifest.layers]
            names = [name.familiar for name in one.names]
            saved.append((manifest.config.digest.hex, names, layers))
        for name_, data in (
            (docs.INDEX, docs.index_json(entries)),
            (docs.MANIFEST, docs.manifest_json(saved)),
            (docs.LAYOUT, _LAYOUT),
        ):
            head = tarwrite.header(_file(name_, len(data)))
            await loop.sock_sendall(out, head + data + tarwrite.padding(len(data)))
        await loop.sock_sendall(out, tarwrite.END)

    async def _blob(self, out: socket.socket, blob: Descriptor) -> None:
        """One blob, verified while it goes: what is damaged ends the archive too early."""
        loop = asyncio.get_running_loop()
        fd = await self._content.open(blob.digest)
        try:
            size = os.fstat(fd).st_size
            name = f"blobs/{blob.digest.algorithm}/{blob.digest.hex}"
            await loop.sock_sendall(out, tarwrite.header(_file(name, size)))
            digest = hashlib.new(blob.digest.algorithm)

            def read() -> bytes:
                data = os.read(fd, _READ)
                digest.update(data)
                return data

            while data := await self._content.run(read, step="save"):
                await loop.sock_sendall(out, data)
            await loop.sock_sendall(out, tarwrite.padding(size))
        finally:
            os.close(fd)
        if digest.hexdigest() != blob.digest.hex:
            raise DataLoss(
                f"blob {blob.digest} is damaged",
                step="save",
                path=self._content.path(blob.digest),
                hint="remove the image and pull it again",
            )


def _file(name: str, size: int) -> tar.Entry:
    entry = tar.Entry(tar.REGULAR, name.encode(), size)
    entry.mode = 0o644
    return entry


async def _end(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # seen
