"""From documents in the content store to an image with names, and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from corten.errors import DataLoss, NotFound
from corten.images import catalog
from corten.images.catalog import Catalog, ManifestRow, Stored
from corten.images.content import Content
from corten.images.times import from_rfc3339
from corten.images.types import Action, Change, ImageRecord
from corten.snapshots.protocol import Snapshotter
from corten.spec import digest as digests
from corten.spec import image
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import ImageConfig, Manifest
from corten.spec.reference import Reference
from corten.store.database import Database

Journal = Callable[[sqlite3.Connection, Change], None]


class Registrar:
    """Writes images and their names, each with the journal's event in one transaction."""

    def __init__(
        self,
        db: Database,
        content: Content,
        snapshotter: Snapshotter,
        catalog: Catalog,
        journal: Journal | None,
    ) -> None:
        self._db = db
        self._content = content
        self._snapshotter = snapshotter
        self._catalog = catalog
        self._journal = journal

    def journal(self, conn: sqlite3.Connection, changes: Sequence[Change]) -> None:
        """Tell the journal, inside the transaction."""
        if self._journal is not None:
            for change in changes:
                self._journal(conn, change)

    def current(self, tenant: str, name: Reference) -> str:
        """The id of the image that a name means now; ``""`` for none."""
        try:
            return self._catalog.get(tenant, str(name)).id
        except NotFound:
            return ""

    async def register(
        self,
        tenant: str,
        names: Sequence[tuple[Reference, str]],
        *,
        described: Descriptor,
        manifest: Manifest,
        config: ImageConfig,
        action: Action,
    ) -> ImageRecord:
        """Make an image a tenant's. All of its layers are committed, all documents stored.

        Arguments:
            names: with the digest each was pulled by (an index's where there was one).
            described: the manifest's descriptor.
        """
        image_id = str(manifest.config.digest)
        stored = self._stored(image_id, config)
        row = ManifestRow(
            digest=str(described.digest),
            media_type=described.media_type,
            size=described.size,
            image_id=image_id,
            blobs=tuple([image_id, *[str(layer.digest) for layer in manifest.layers]]),
        )
        shown = str(names[0][0]) if names else ""

        def write(conn: sqlite3.Connection) -> ImageRecord:
            catalog.put_image(conn, tenant, stored, row)
            for name, target in names:
                catalog.put_name(conn, tenant, name, target, row)
            change = Change(tenant=tenant, action=action, image_id=image_id, name=shown)
            self.journal(conn, [change])
            return self._catalog.record(conn, tenant, image_id)

        return await self._db.write(write)

    def _stored(self, image_id: str, config: ImageConfig) -> Stored:
        chain = image.chain_ids(config.diff_ids)
        top = str(chain[-1]) if chain else ""
        return Stored(
            id=image_id,
            created_at=from_rfc3339(config.created),
            size=sum([layer.size for layer in self._snapshotter.stack(top)]),
            os=config.platform.os or "linux",
            architecture=config.platform.architecture,
            variant=config.platform.variant,
            config=config.document,
            layers=tuple([str(diff_id) for diff_id in config.diff_ids]),
            chain_id=top,
        )

    async def manifest_of(self, image_id: str) -> Digest:
        """The digest of an image's manifest. Raises NotFound."""

        def read(conn: sqlite3.Connection) -> ManifestRow:
            return catalog.any_manifest_of(conn, image_id)

        return digests.parse(self._db.read(read).digest)

    async def documents(self, image_id: str) -> tuple[Manifest, ImageConfig]:
        """Manifest and configuration of an image, whoever owns it.

        Raises:
            NotFound, DataLoss: they are not in the store as they should be.
        """

        def read(conn: sqlite3.Connection) -> ManifestRow:
            return catalog.any_manifest_of(conn, image_id)

        row = self._db.read(read)
        data = await self._content.read(digests.parse(row.digest), limit=image.MANIFEST_LIMIT)
        manifest = image.parse_manifest(data, row.media_type)
        if not isinstance(manifest, Manifest):
            raise DataLoss(f"{row.digest} is no manifest")
        raw = await self._content.read(manifest.config.digest, limit=image.MANIFEST_LIMIT)
        return manifest, image.parse_config(raw)
