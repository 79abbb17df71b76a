"""The rows of images and their names: look-ups on the committed state, bodies of transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from corten.errors import InvalidArgument, NotFound
from corten.images.types import ImageRecord
from corten.spec import digest as digests
from corten.spec import jsonlite, reference
from corten.spec.reference import Reference
from corten.store.database import Database


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What ``images.record`` holds: all of an image but its names."""

    id: str
    created_at: int
    size: int
    os: str
    architecture: str
    variant: str
    config: dict[str, Any]
    layers: tuple[str, ...]
    chain_id: str


class ManifestRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of ``manifests``."""

    digest: str
    media_type: str
    size: int
    image_id: str
    blobs: tuple[str, ...]


class Catalog:
    """Look-ups on the last committed state, and the bodies of transactions."""

    def __init__(self, db: Database) -> None:
        self._db = db
        # A record never changes under its id, so decoding it once is enough.
        self._decoded: dict[str, Stored] = {}

    # look-ups --------------------------------------------------------------------------
    def get(self, tenant: str, ref: str) -> ImageRecord:
        """See :meth:`corten.images.service.ImageService.get`."""

        def read(conn: sqlite3.Connection) -> ImageRecord:
            return self.record(conn, tenant, find(conn, tenant, ref))

        return self._db.read(read)

    def list(self, tenant: str) -> Sequence[ImageRecord]:
        """All of a tenant's, newest first."""

        def read(conn: sqlite3.Connection) -> Sequence[ImageRecord]:
            rows = conn.execute("SELECT image_id FROM image_owners WHERE tenant = ?", (tenant,))
            return [self.record(conn, tenant, image_id) for (image_id,) in rows.fetchall()]

        return sorted(self._db.read(read), key=lambda image: (-image.created_at, image.id))

    def record(self, conn: sqlite3.Connection, tenant: str, image_id: str) -> ImageRecord:
        """One image with a tenant's names."""
        stored = self.stored(conn, image_id)
        names = conn.execute(
            "SELECT name, by_digest, manifest FROM image_names"
            " WHERE tenant = ? AND image_id = ? ORDER BY name",
            (tenant, image_id),
        ).fetchall()
        owner = conn.execute(
            "SELECT manifest FROM image_owners WHERE tenant = ? AND image_id = ?",
            (tenant, image_id),
        ).fetchone()
        return ImageRecord(
            id=stored.id,
            tenant=tenant,
            tags=tuple([name for name, by_digest, _ in names if not by_digest]),
            digests=tuple([name for name, by_digest, _ in names if by_digest]),
            created_at=stored.created_at,
            size=stored.size,
            os=stored.os,
            architecture=stored.architecture,
            variant=stored.variant,
            config=stored.config,
            layers=stored.layers,
            chain_id=stored.chain_id,
            manifest=owner[0] if owner else "",
        )

    def stored(self, conn: sqlite3.Connection, image_id: str) -> Stored:
        """An image whoever owns it. NotFound if there is none."""
        found = self._decoded.get(image_id)
        if found is None:
            row = conn.execute("SELECT record FROM images WHERE id = ?", (image_id,)).fetchone()
            if row is None:
                raise NotFound(f"no image {image_id}")
            found = msgspec.json.decode(row[0], type=Stored)
            self._decoded[image_id] = found
        return found

    def forget(self, image_ids: Iterable[str]) -> None:
        """Images that are gone need no memory."""
        for image_id in image_ids:
            self._decoded.pop(image_id, None)

    def all_stored(self) -> Sequence[Stored]:
        """Every image of every tenant."""

        def read(conn: sqlite3.Connection) -> Sequence[Stored]:
            ids = conn.execute("SELECT id FROM images").fetchall()
            return [self.stored(conn, image_id) for (image_id,) in ids]

        return self._db.read(read)


# looking up ------------------------------------------------------------------------------


def find(conn: sqlite3.Connection, tenant: str, ref: str) -> str:
    """The id that ``ref`` means, in Docker's order: whole id, name, prefix of an id.

    Raises:
        NotFound, InvalidArgument (ambiguous).
    """
    hex_part = ref.removeprefix("sha256:")
    is_hex = digests.is_hex(hex_part) and len(hex_part) <= 64
    if is_hex and (len(hex_part) == 64 or ref.startswith("sha256:")):
        return _by_prefix(conn, tenant, hex_part, ref)
    try:
        name = reference.parse(ref)
    except InvalidArgument:
        if not is_hex:
            raise
    else:
        found = _by_name(conn, tenant, name)
        if found is not None:
            return found
    if is_hex:
        return _by_prefix(conn, tenant, hex_part, ref)
    raise missing(ref)


def missing(ref: str) -> NotFound:
    """The error for an image that is not here."""
    return NotFound(f"No such image: {ref}", hint=f"pull it: corten pull {ref}")


def _by_name(conn: sqlite3.Connection, tenant: str, name: Reference) -> str | None:
    row = conn.execute(
        "SELECT image_id FROM image_names WHERE tenant = ? AND name = ?", (tenant, key_of(name))
    ).fetchone()
    return str(row[0]) if row else None


def key_of(name: Reference) -> str:
    """The name as ``image_names`` has it; a digest counts more than a tag beside it."""
    return f"{name.repository}@{name.digest}" if name.digest is not None else name.tagged


def _by_prefix(conn: sqlite3.Connection, tenant: str, prefix: str, ref: str) -> str:
    rows = conn.execute(
        "SELECT image_id FROM image_owners WHERE tenant = ? AND image_id GLOB ? LIMIT 2",
        (tenant, f"sha256:{prefix}*"),
    ).fetchall()
    if not rows:
        raise missing(ref)
    if len(rows) > 1:
        raise InvalidArgument(f"image id prefix {prefix} is ambiguous", hint="give more digits")
    return str(rows[0][0])


# writing ---------------------------------------------------------------------------------


def put_image(conn: sqlite3.Connection, tenant: str, stored: Stored, manifest: ManifestRow) -> None:
    """Make an image a tenant's."""
    conn.execute(
        "INSERT INTO images VALUES (?, ?) ON CONFLICT DO NOTHING",
        (stored.id, msgspec.json.encode(stored)),
    )
    conn.execute(
        "INSERT INTO manifests VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            manifest.digest,
            manifest.media_type,
            manifest.size,
            manifest.image_id,
            jsonlite.dumps(list(manifest.blobs)),
        ),
    )
    conn.execute(
        "INSERT INTO image_owners VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET manifest = excluded.manifest",
        (tenant, stored.id, manifest.digest),
    )


def put_name(
    conn: sqlite3.Connection, tenant: str, name: Reference, target: str, manifest: ManifestRow
) -> None:
    """Let a name point to an image, whatever it pointed to before."""
    conn.execute(
        "INSERT INTO image_names VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " target = excluded.target, manifest = excluded.manifest, image_id = excluded.image_id",
        (
            tenant,
            key_of(name),
            int(name.digest is not None),
            target,
            manifest.digest,
            manifest.image_id,
        ),
    )


def name_meant(conn: sqlite3.Connection, tenant: str, ref: str) -> str:
    """The row of ``image_names`` that ``ref`` means; ``""`` where it means an id."""
    hex_part = ref.removeprefix("sha256:")
    if digests.is_hex(hex_part) and (len(hex_part) == 64 or ref.startswith("sha256:")):
        return ""
    try:
        name = reference.parse(ref)
    except InvalidArgument:
        return ""
    return key_of(name) if _by_name(conn, tenant, name) is not None else ""


def manifest_of_name(conn: sqlite3.Connection, tenant: str, name: Reference) -> ManifestRow:
    """The manifest that a name means. NotFound if there is no such name."""
    row = conn.execute(
        "SELECT m.digest, m.media_type, m.size, m.image_id, m.blobs FROM manifests m"
        " JOIN image_names n ON n.manifest = m.digest WHERE n.tenant = ? AND n.name = ?",
        (tenant, key_of(name)),
    ).fetchone()
    if row is None:
        raise NotFound(
            f"An image does not exist locally with the tag: {name.familiar_repository}",
            hint="corten images lists what there is",
        )
    return _manifest_row(row)


def names_of_repository(conn: sqlite3.Connection, tenant: str, repository: str) -> list[Reference]:
    """All names with a tag that a repository has here."""
    rows = conn.execute(
        "SELECT name FROM image_names WHERE tenant = ? AND by_digest = 0 AND name GLOB ?"
        " ORDER BY name",
        (tenant, f"{repository}:*"),
    ).fetchall()
    return [reference.parse(row[0]) for row in rows]


def repository_meant(conn: sqlite3.Connection, tenant: str, ref: str) -> list[Reference]:
    """The names of a repository that is given without a tag; none where something else is."""
    if ":" in ref.rpartition("/")[2] or "@" in ref:
        return []
    try:
        return names_of_repository(conn, tenant, reference.parse(ref).repository)
    except InvalidArgument:
        return []


def _manifest_row(row: tuple[str, str, int, str, str]) -> ManifestRow:
    return ManifestRow(
        digest=row[0],
        media_type=row[1],
        size=row[2],
        image_id=row[3],
        blobs=tuple(jsonlite.loads(row[4])),
    )


def any_manifest_of(conn: sqlite3.Connection, image_id: str) -> ManifestRow:
    """A manifest that some tenant got an image by."""
    owner = conn.execute(
        "SELECT tenant FROM image_owners WHERE image_id = ?", (image_id,)
    ).fetchone()
    return manifest_of(conn, owner[0] if owner else "", image_id)


def manifest_of(conn: sqlite3.Connection, tenant: str, image_id: str) -> ManifestRow:
    """The manifest that a tenant got an image by."""
    row = conn.execute(
        "SELECT m.digest, m.media_type, m.size, m.image_id, m.blobs FROM manifests m"
        " JOIN image_owners o ON o.manifest = m.digest WHERE o.tenant = ? AND o.image_id = ?",
        (tenant, image_id),
    ).fetchone()
    if row is None:
        raise NotFound(f"no manifest of {image_id}")
    return _manifest_row(row)
