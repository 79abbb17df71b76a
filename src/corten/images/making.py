"""Images that don't come from a registry: of a container, of an archive of files, of an archive
of images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from corten.errors import DataLoss, InvalidArgument, NotFound
from corten.images import archive_docs as docs
from corten.images.archive_docs import Member, Members
from corten.images.content import Content, remove_flat
from corten.images.layers import Layers, wanted
from corten.images.leases import Lease, Leases
from corten.images.registrar import Registrar
from corten.images.settings import Settings
from corten.images.trees.client import Worker, connection
from corten.images.trees.service import Transfer, Trees
from corten.images.types import Action, ImageRecord, Progress, ProgressSink
from corten.spec import descriptor, image, jsonlite, platform
from corten.spec import digest as digests
from corten.spec.descriptor import Descriptor
from corten.spec.image import ImageConfig, Manifest
from corten.spec.reference import Reference

_UNLIMITED = 1 << 62


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """One image of an archive: its id, and the names it got."""

    id: str
    names: tuple[str, ...] = ()


class Maker:
    """``commit``, ``import``, ``load``."""

    def __init__(
        self,
        content: Content,
        layers: Layers,
        leases: Leases,
        registrar: Registrar,
        trees: Trees,
        settings: Settings,
    ) -> None:
        self._content = content
        self._layers = layers
        self._leases = leases
        self._registrar = registrar
        self._trees = trees
        self._settings = settings

    # commit ----------------------------------------------------------------------------
    async def commit(
        self,
        tenant: str,
        base: str,
        key: str,
        chain_id: str,
        document: dict[str, Any],
        name: Reference | None,
    ) -> ImageRecord:
        """An image of what a container changed, on top of its image's layers.

        Arguments:
            base: the id of the container's image.
            key, chain_id: of its snapshot.
            document: the new configuration, but for the new layer's diff id.
        """
        async with self._leases.hold(f"commit:{tenant}:{key}", tenant) as lease:
            manifest, _ = await self._registrar.documents(base)
            path = self._content.temporary("commit")
            try:
                layer, diff_id = await self._pack(path, "layer", self._trees.own(key, chain_id))
                await self._adopt(lease, path, layer)
            finally:
                await self._content.run(remove_flat, path, step="commit")
            document["rootfs"] = {
                "type": "layers",
                "diff_ids": [*document["rootfs"]["diff_ids"], diff_id],
            }
            stack = (*manifest.layers, layer)
            return await self._finish(tenant, lease, document, stack, name, action="commit")

    async def _pack(self, path: str, op: str, job: dict[str, Any]) -> tuple[Descriptor, str]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        out = await self._content.run(os.open, path, flags, 0o600, step=op)
        try:
            async with Worker(op, job, out=out) as worker:
                return _layer(await worker.result())
        finally:
            os.close(out)

    async def _adopt(self, lease: Lease, path: str, blob: Descriptor) -> None:
        await lease.add([str(blob.digest)])
        await self._content.adopt(path, blob.digest)

    async def _finish(
        self,
        tenant: str,
        lease: Lease,
        document: dict[str, Any],
        layers: tuple[Descriptor, ...],
        name: Reference | None,
        *,
        action: Action,
    ) -> ImageRecord:
        raw = jsonlite.dumpb(document)
        config = await self._add(raw, descriptor.DOCKER_CONFIG, lease)
        return await self._assemble(
            tenant, lease, config, image.parse_config(raw), layers, [name] if name else [], action
        )

    async def _assemble(
        self,
        tenant: str,
        lease: Lease,
        config: Descriptor,
        parsed: ImageConfig,
        layers: tuple[Descriptor, ...],
        names: Sequence[Reference],
        action: Action,
        report: ProgressSink | None = None,
    ) -> ImageRecord:
        """Manifest, layers and names for a configuration that is in the store."""
        manifest = Manifest(media_type=descriptor.DOCKER_MANIFEST, config=config, layers=layers)
        image.check_layers(manifest, parsed)
        document = {
            "schemaVersion": 2,
            "mediaType": manifest.media_type,
            "config": config.to_document(),
            "layers": [layer.to_document() for layer in layers],
        }
        described = await self._add(jsonlite.dumpb(document), manifest.media_type, lease)
        return await self._register(
            tenant, lease, described, manifest, parsed, names, str(described.digest), action, report
        )

    async def _register(
        self,
        tenant: str,
        lease: Lease,
        described: Descriptor,
        manifest: Manifest,
        config: ImageConfig,
        names: Sequence[Reference],
        target: str,
        action: Action,
        report: ProgressSink | None,
    ) -> ImageRecord:
        stack = wanted(manifest, config)
        await lease.add(
            [str(one.descriptor.digest) for one in stack], [str(one.chain_id) for one in stack]
        )
        await self._layers.ensure(stack, None, report or _silent)
        return await self._registrar.register(
            tenant,
            [(name, target) for name in names],
            described=described,
            manifest=manifest,
            config=config,
            action=action,
        )

    async def _add(self, data: bytes, media_type: str, lease: Lease) -> Descriptor:
        digest = digests.sha256(hashlib.sha256(data).hexdigest())
        made = Descriptor(media_type=media_type, digest=digest, size=len(data))
        await lease.add([str(digest)])
        await self._content.add(made, data)
        return made

    # import ----------------------------------------------------------------------------
    async def imported(
        self, tenant: str, document: dict[str, Any], name: Reference | None
    ) -> Transfer[ImageRecord]:
        """An image of one layer, whose archive comes over the transfer's socket."""
        path = self._content.temporary("import")
        client, program = connection()
        async with AsyncExitStack() as stack:
            stack.callback(client.close)
            stack.push_async_callback(self._content.run, remove_flat, path, step="import")
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            out = await self._content.run(os.open, path, flags, 0o600, step="import")
            stack.callback(os.close, out)
            job = {"scratch": self._content.scratch, "ratio": self._settings.max_ratio}
            worker = await stack.enter_async_context(Worker("import", job, data=program, out=out))

            async def finish() -> ImageRecord:
                layer, diff_id = _layer(await worker.result(_nothing))
                document["rootfs"] = {"type": "layers", "diff_ids": [diff_id]}
                async with self._leases.hold(f"import:{path}", tenant) as lease:
                    await self._adopt(lease, path, layer)
                    return await self._finish(
                        tenant, lease, document, (layer,), name, action="import"
                    )

            return Transfer(client, stack.pop_all(), finish)

    # load ------------------------------------------------------------------------------
    async def load(self, tenant: str, report: ProgressSink) -> Transfer[Sequence[Loaded]]:
        """Every image of an archive, which comes over the transfer's socket."""
        directory = self._content.temporary("load")
        client, program = connection()
        async with AsyncExitStack() as stack:
            stack.callback(client.close)
            stack.push_async_callback(self._content.run, remove_flat, directory, step="load")
            await self._content.run(os.mkdir, directory, 0o700, step="load")
            job = {
                "directory": directory,
                "limit": self._settings.max_unpacked or _UNLIMITED,
                "ratio": self._settings.max_ratio,
            }
            worker = await stack.enter_async_context(Worker("spool", job, data=program))

            async def finish() -> Sequence[Loaded]:
                members = Members(await worker.result(_nothing))
                return await Loading(self, tenant, directory, members, report).run()

            return Transfer(client, stack.pop_all(), finish)


class Loading:
    """One archive of images that has been spooled."""

    def __init__(
        self, maker: Maker, tenant: str, directory: str, members: Members, report: ProgressSink
    ) -> None:
        self._maker = maker
        self._tenant = tenant
        self._directory = directory
        self._members = members
        self._report = report

    async def run(self) -> Sequence[Loaded]:
        """All images; a layout's, where the archive is both."""
        members, maker = self._members, self._maker
        async with maker._leases.hold(f"load:{self._directory}", self._tenant) as lease:
            found: list[Loaded] = []
            if members.get(docs.LAYOUT) is not None and members.get(docs.INDEX) is not None:
                found = await self._layout(lease)
            elif (listed := members.get(docs.MANIFEST)) is not None:
                for saved in docs.parse_manifest_json(await self._read(listed)):
                    found.append(await self._saved(lease, saved))
            else:
                raise InvalidArgument(
                    f"the archive has neither {docs.MANIFEST} nor {docs.INDEX}: it holds no image",
                    step="load",
                    hint="a file system's archive is imported: corten import",
                )
            return found

    async def _read(self, member: Member) -> bytes:
        """A document; larger ones than any manifest may be are refused."""
        if member.size > image.MANIFEST_LIMIT:
            raise InvalidArgument(f"a document of the archive has {member.size} bytes")

        kept = self._maker._content.path(member.digest)

        def work() -> bytes:
            path = f"{self._directory}/{member.file}"
            # What two images have in common was moved into the store with the first.
            with open(path if os.path.exists(path) else kept, "rb") as file:  # noqa: PTH123
                return file.read()

        data = await self._maker._content.run(work, step="load")
        if hashlib.sha256(data).hexdigest() != member.digest.hex:
            raise DataLoss("the archive changed on the disk", step="load")
        return data

    async def _keep(self, lease: Lease, member: Member) -> None:
        """Make a member a blob of the store, unless it is one."""
        await lease.add([str(member.digest)])
        if await self._maker._content.size(member.digest) is None:
            path = f"{self._directory}/{member.file}"
            if await self._maker._content.run(os.path.exists, path, step="load"):
                await self._maker._content.adopt(path, member.digest)

    # docker's --------------------------------------------------------------------------
    async def _saved(self, lease: Lease, saved: docs.Saved) -> Loaded:
        member = self._members.need(saved.config)
        raw = await self._read(member)
        parsed = image.parse_config(raw)
        config = await self._maker._add(raw, descriptor.DOCKER_CONFIG, lease)
        layers = []
        for name in saved.layers:
            layer = self._members.need(name)
            await self._keep(lease, layer)
            layers.append(await self._typed(layer))
        record = await self._maker._assemble(
            self._tenant, lease, config, parsed, tuple(layers), saved.names, "load", self._report
        )
        return Loaded(id=record.id, names=tuple([str(name) for name in saved.names]))

    async def _typed(self, member: Member) -> Descriptor:
        """A layer's type, by its first bytes where the worker has not looked (in a layout)."""

        def head() -> bytes:
            path = self._maker._content.path(member.digest)
            with open(path, "rb") as file:  # noqa: PTH123  # in a thread
                return file.read(4)

        if not member.packed:
            first = await self._maker._content.run(head, step="load")
            member.packed = docs.packing(first)
        return member.layer()

    # layouts ---------------------------------------------------------------------------
    async def _layout(self, lease: Lease) -> list[Loaded]:
        raw = await self._read(self._members.need(docs.INDEX))
        top = image.parse_manifest(raw, descriptor.OCI_INDEX)
        assert isinstance(top, image.Index)
        grouped: dict[str, list[Reference]] = {}
        entries: dict[str, Descriptor] = {}
        for one in top.manifests:
            entries.setdefault(str(one.digest), one)
            name = docs.name_of(one)
            grouped.setdefault(str(one.digest), []).extend([name] if name else [])
        found = []
        for digest, one in entries.items():
            loaded = await self._entry(lease, one, grouped[digest])
            if loaded is not None:
                found.append(loaded)
        if not found:
            raise NotFound("the archive has no image for this machine's platform", step="load")
        return found

    async def _entry(
        self, lease: Lease, top: Descriptor, names: Sequence[Reference]
    ) -> Loaded | None:
        one = top
        for _ in range(3):
            member = self._members.blob(one)
            if member is None:
                return None
            raw = await self._read(member)
            parsed = image.parse_manifest(raw, one.media_type)
            await self._keep(lease, member)
            if isinstance(parsed, Manifest):
                return await self._manifest(lease, top, one, raw, parsed, names)
            number = platform.choose(
                tuple([child.platform for child in parsed.manifests]), platform.local()
            )
            if number < 0:
                return None
            one = parsed.manifests[number]
        raise InvalidArgument("the archive has an index of indexes of indexes", step="load")

    async def _manifest(
        self,
        lease: Lease,
        top: Descriptor,
        one: Descriptor,
        raw: bytes,
        manifest: Manifest,
        names: Sequence[Reference],
    ) -> Loaded | None:
        if manifest.artifact_type or manifest.config.media_type not in descriptor.CONFIGS:
            return None  # no image
        described = Descriptor(media_type=manifest.media_type, digest=one.digest, size=len(raw))
        config = self._members.blob(manifest.config)
        if config is None:
            raise InvalidArgument("the archive has no configuration of an image", step="load")
        parsed = image.parse_config(await self._read(config))
        image.check_layers(manifest, parsed)
        for layer in (manifest.config, *manifest.layers):
            member = self._members.blob(layer)
            if member is None:
                raise InvalidArgument(f"the archive has no blob {layer.digest}", step="load")
            await self._keep(lease, member)
        record = await self._maker._register(
            self._tenant, lease, described, manifest, parsed, names, str(top.digest), "load",
            self._report,
        )  # fmt: skip
        return Loaded(id=record.id, names=tuple([str(name) for name in names]))


def _layer(answer: dict[str, Any]) -> tuple[Descriptor, str]:
    """A packed layer that a program has written, and its diff id."""
    made = Descriptor(
        media_type=descriptor.DOCKER_LAYER_GZIP,
        digest=digests.parse(answer["digest"]),
        size=int(answer["size"]),
    )
    return made, str(answer["diff_id"])


def _silent(_: Progress) -> None:
    """Nobody listens."""


def _nothing(_: Any) -> None:
    """Not of interest."""
