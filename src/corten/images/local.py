"""Images that are made here: files of this machine, one layer, a name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import IO, Any

from corten.images.content import Content
from corten.images.host import archive
from corten.images.host.closure import Closure
from corten.images.layers import Layers, wanted
from corten.images.leases import Lease, Leases
from corten.images.registrar import Registrar
from corten.images.times import to_rfc3339
from corten.images.types import ImageRecord, Progress
from corten.spec import descriptor, jsonlite, platform
from corten.spec import digest as digests
from corten.spec.descriptor import Descriptor
from corten.spec.image import Manifest, parse_config
from corten.spec.reference import Reference

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _silent(_: Progress) -> None:
    """Nobody listens."""


class LocalImages:
    """Makes images without a registry."""

    def __init__(
        self, content: Content, layers: Layers, leases: Leases, registrar: Registrar
    ) -> None:
        self._content = content
        self._layers = layers
        self._leases = leases
        self._registrar = registrar

    async def make(
        self,
        tenant: str,
        name: Reference,
        files: Closure,
        extras: Mapping[str, archive.Extra],
        *,
        cmd: Sequence[str],
        labels: Mapping[str, str],
    ) -> ImageRecord:
        """One layer of files of this machine, under a name. The same files give the same id."""

        def write(file: IO[bytes]) -> int:
            return archive.write(file, files, extras)

        async with self._leases.hold(f"host:{tenant}:{name}", tenant) as lease:
            layer, newest = await self._content.build(write, descriptor.OCI_LAYER)
            await lease.add([str(layer.digest)])
            run: dict[str, Any] = {"Env": [PATH], "Cmd": list(cmd)}
            if labels:
                run["Labels"] = dict(labels)
            return await self._finish(tenant, name, lease, layer, run, to_rfc3339(newest))

    async def _finish(
        self,
        tenant: str,
        name: Reference,
        lease: Lease,
        layer: Descriptor,
        run: dict[str, Any],
        created: str,
    ) -> ImageRecord:
        here = platform.local()
        document = {
            "created": created,
            "architecture": here.architecture,
            "os": here.os,
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": [str(layer.digest)]},
            "history": [{"created": created, "created_by": "corten image from-host"}],
        }
        raw_config = jsonlite.dumpb(document)
        config = await self._add(raw_config, descriptor.OCI_CONFIG, lease)
        manifest_document = {
            "schemaVersion": 2,
            "mediaType": descriptor.OCI_MANIFEST,
            "config": config.to_document(),
            "layers": [layer.to_document()],
        }
        raw = jsonlite.dumpb(manifest_document)
        described = await self._add(raw, descriptor.OCI_MANIFEST, lease)
        manifest = Manifest(media_type=descriptor.OCI_MANIFEST, config=config, layers=(layer,))
        parsed = parse_config(raw_config)
        stack = wanted(manifest, parsed)
        await lease.add([], [str(one.chain_id) for one in stack])
        await self._layers.ensure(stack, None, _silent)
        return await self._registrar.register(
            tenant,
            [(name, str(described.digest))],
            described=described,
            manifest=manifest,
            config=parsed,
            action="import",
        )

    async def _add(self, data: bytes, media_type: str, lease: Lease) -> Descriptor:
        digest = digests.sha256(hashlib.sha256(data).hexdigest())
        made = Descriptor(media_type=media_type, digest=digest, size=len(data))
        await lease.add([str(digest)])
        await self._content.add(made, data)
        return made
