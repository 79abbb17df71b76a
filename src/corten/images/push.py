"""A push: what an image was made of, into a repository, and a name for it there."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Sequence

import msgspec

from corten.errors import Unauthenticated, Unavailable
from corten.images import catalog
from corten.images.catalog import ManifestRow
from corten.images.content import Content
from corten.images.registrar import Registrar
from corten.images.registry import problems
from corten.images.registry.connection import Connection, session
from corten.images.registry.meter import Meter
from corten.images.registry.upload import Destination
from corten.images.settings import Settings
from corten.images.shared import all_or_none
from corten.images.types import Auth, Change, Progress, ProgressSink
from corten.spec import digest as digests
from corten.spec import image
from corten.spec.descriptor import Descriptor
from corten.spec.image import ImageConfig, Manifest
from corten.spec.reference import Reference
from corten.store.database import Database

_MOUNTS = 3  # repositories of the same registry that are asked for a blob


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """What the registry has now."""

    tag: str
    digest: str
    size: int


class Pusher:
    """Pushes for one daemon, and asks registries whether they know a user."""

    def __init__(
        self, db: Database, content: Content, registrar: Registrar, settings: Settings
    ) -> None:
        self._db = db
        self._content = content
        self._registrar = registrar
        self._settings = settings

    async def push(
        self, tenant: str, name: Reference, auth: Auth | None, report: ProgressSink
    ) -> Pushed:
        """See :meth:`corten.images.service.ImageService.push`."""

        def read(conn: sqlite3.Connection) -> ManifestRow:
            return catalog.manifest_of_name(conn, tenant, name)

        row = self._db.read(read)
        digest = digests.parse(row.digest)
        raw = await self._content.read(digest, limit=image.MANIFEST_LIMIT)
        parsed = image.parse_manifest(raw, row.media_type)
        assert isinstance(parsed, Manifest)
        config = image.parse_config(
            await self._content.read(parsed.config.digest, limit=image.MANIFEST_LIMIT)
        )
        described = Descriptor(media_type=parsed.media_type, digest=digest, size=len(raw))
        report(Progress(id="", status=f"The push refers to repository [{name.repository}]"))
        async with session(self._settings) as http:
            connection = Connection(http, name.domain, name.path, auth, self._settings)
            destination = Destination(connection, self._settings, name.familiar_repository)
            await self._layers(destination, name, parsed, config, report)
            where = name.tag or str(digest)
            await destination.manifest(where, described, raw)
        text = f"{name.tag or name.familiar}: digest: {digest} size: {len(raw)}"
        report(Progress(id="", status=text))
        await self._remember(tenant, name, row, str(digest))
        return Pushed(tag=name.tag, digest=str(digest), size=len(raw))

    async def _layers(
        self,
        destination: Destination,
        name: Reference,
        manifest: Manifest,
        config: ImageConfig,
        report: ProgressSink,
    ) -> None:
        jobs = {}
        downloads = asyncio.Semaphore(self._settings.parallel_downloads)
        for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True):
            if str(layer.digest) not in jobs:
                report(Progress(id=diff_id.short, status="Preparing"))
                jobs[str(layer.digest)] = self._layer(
                    destination, name, layer, diff_id.short, downloads, report
                )
        await all_or_none(list(jobs.values()))
        await self._layer(destination, name, manifest.config, "", downloads, _silent)

    async def _layer(
        self,
        destination: Destination,
        name: Reference,
        blob: Descriptor,
        shown: str,
        limit: asyncio.Semaphore,
        report: ProgressSink,
    ) -> None:
        async with limit:
            if await destination.has(blob.digest):
                report(Progress(id=shown, status="Layer already exists"))
                return
            where = ""
            for source in self._db.read(lambda conn: _sources(conn, name, str(blob.digest))):
                mounted, where = await destination.mount(blob.digest, source)
                if mounted:
                    report(Progress(id=shown, status=f"Mounted from {_shown(name, source)}"))
                    return
            fd = await self._content.open(blob.digest)
            try:
                size = os.fstat(fd).st_size
                meter = Meter(shown, size, report, status="Pushing")
                whole = Descriptor(media_type=blob.media_type, digest=blob.digest, size=size)
                await destination.blob(whole, fd, where, meter.show)
            finally:
                os.close(fd)
            report(Progress(id=shown, status="Pushed"))

    async def _remember(self, tenant: str, name: Reference, row: ManifestRow, digest: str) -> None:
        """The registry's name by digest is one of the image's names from now on."""
        by_digest = Reference(domain=name.domain, path=name.path, digest=digests.parse(digest))

        def write(conn: sqlite3.Connection) -> None:
            catalog.put_name(conn, tenant, by_digest, digest, row)
            change = Change(tenant=tenant, action="push", image_id=row.image_id, name=name.familiar)
            self._registrar.journal(conn, [change])

        await self._db.write(write)

    # logging in ------------------------------------------------------------------------
    async def check(self, domain: str, auth: Auth) -> None:
        """Whether a registry takes these credentials.

        Raises:
            Unauthenticated: it does not. Unavailable: it does not answer.
        """
        async with session(self._settings) as http:
            connection = Connection(http, domain, "", auth, self._settings)
            failure: Exception | None = None
            for endpoint in connection.origins:
                try:
                    response = await connection.send(endpoint, "GET", f"{endpoint.base}/v2/", {})
                except (OSError, TimeoutError, problems.BROKEN) as error:
                    failure = failure or problems.from_exception(error, endpoint.host)
                    continue
                status = response.status
                response.close()
                if status == 200:
                    return
                if status in (401, 403):
                    raise Unauthenticated(
                        f"login attempt to {endpoint.base}/v2/ failed with status:"
                        f" {status} {response.reason}",
                    )
                raise Unavailable(f"{endpoint.host} answered HTTP {status}", step="login")
            assert failure is not None
            raise failure


def _sources(conn: sqlite3.Connection, name: Reference, digest: str) -> Sequence[str]:
    """Other repositories of the same registry that have a blob, as far as is known here."""
    rows = conn.execute(
        "SELECT DISTINCT n.name FROM image_names n JOIN manifests m ON m.digest = n.manifest"
        " WHERE n.by_digest = 1 AND n.name GLOB ? AND m.blobs LIKE ?",
        (f"{name.domain}/*", f"%{digest}%"),
    ).fetchall()
    paths = [str(row[0]).partition("@")[0].removeprefix(f"{name.domain}/") for row in rows]
    return [path for path in dict.fromkeys(paths) if path != name.path][:_MOUNTS]


def _shown(name: Reference, path: str) -> str:
    return Reference(domain=name.domain, path=path).familiar_repository.removeprefix(
        f"{name.domain}/"
    )


def _silent(_: Progress) -> None:
    """Nobody listens."""
