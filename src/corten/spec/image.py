"""Manifests, indexes and image configurations, OCI's and Docker's.

Read strictly where a wrong value would mislead (digests, sizes, types), tolerantly where
images in the wild are loose (``null`` for an empty list, no ``mediaType``, no history).
OCI image specification: manifest.md, image-index.md, config.md.
"""

from __future__ import annotations

import hashlib

from corten.errors import InvalidArgument, Unimplemented
from corten.spec import _fields, descriptor, digest, jsonlite
from corten.spec._struct import Struct
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.platform import Platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

MANIFEST_LIMIT: Final = 4 << 20  # bytes; the limit registries and clients agree on
LAYER_LIMIT: Final = 500  # overlay's own limit, and more than any builder makes


class Manifest(Struct):
    """One image for one platform.

    Fields:
        media_type: of the manifest itself.
        config: of the image's configuration.
        layers: lowest first.
        artifact_type: ``""`` for an image.
    """

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact_type: str = ""


class Index(Struct):
    """A list of manifests, one a platform (OCI index, Docker's manifest list)."""

    media_type: str
    manifests: tuple[Descriptor, ...]


class ImageConfig(Struct):
    """An image's configuration.

    Fields:
        platform: what it runs on.
        created: RFC 3339, as written; may be empty.
        diff_ids: digests of the layers' tar archives, lowest first.
        document: the whole document as it was, unknown fields included.
    """

    platform: Platform
    created: str
    diff_ids: tuple[Digest, ...]
    document: dict[str, Any]


def parse_manifest(data: bytes, media_type: str = "") -> Manifest | Index:
    """Read a manifest or an index.

    Arguments:
        data: the very bytes the digest was made of.
        media_type: what the registry called it (``Content-Type``, without parameters), used
            where the document does not say.
    Raises:
        InvalidArgument: malformed; names the field.
        Unimplemented: the obsolete schema 1.
    """
    if len(data) > MANIFEST_LIMIT:
        raise InvalidArgument(f"the manifest has {len(data)} bytes; the limit is {MANIFEST_LIMIT}")
    doc = _fields.typed(jsonlite.loads(data, what="the manifest"), dict, "manifest")
    kind = _kind(doc, media_type)
    if kind in descriptor.INDEXES:
        return _index(doc, kind)
    return _manifest(doc, kind)


def _kind(doc: dict[str, Any], media_type: str) -> str:
    written = _fields.text(doc, "mediaType", "manifest")
    version = doc.get("schemaVersion")
    if version == 1 or written in descriptor.SCHEMA1 or media_type in descriptor.SCHEMA1:
        raise Unimplemented(
            "the image has a manifest of the obsolete schema 1, which is not supported",
            hint="push it again with a current tool",
        )
    if version != 2:
        raise InvalidArgument(f"manifest.schemaVersion is {version!r}, not 2")
    # One document read as both is an attack: CVE-2021-41190.
    if "manifests" in doc and ("layers" in doc or "config" in doc):
        raise InvalidArgument("the manifest has both manifests and layers: it is ambiguous")
    known = descriptor.INDEXES | descriptor.MANIFESTS
    served = media_type if media_type in known else ""
    if written and served and (written in descriptor.INDEXES) != (served in descriptor.INDEXES):
        raise InvalidArgument(f"manifest.mediaType is {written!r}, but it was served as {served!r}")
    kind = written or served
    if not kind:
        kind = descriptor.OCI_INDEX if "manifests" in doc else descriptor.OCI_MANIFEST
    if kind not in known:
        raise InvalidArgument(f"manifest.mediaType is {kind[:120]!r}, which is no image")
    return kind


def _index(doc: dict[str, Any], kind: str) -> Index:
    entries = _fields.array(doc, "manifests", "index")
    return Index(
        media_type=kind,
        manifests=tuple(
            [
                descriptor.from_document(entry, f"index.manifests[{number}]")
                for number, entry in enumerate(entries)
            ]
        ),
    )


def _manifest(doc: dict[str, Any], kind: str) -> Manifest:
    if doc.get("config") is None:
        raise InvalidArgument("manifest.config is missing")
    layers = _fields.array(doc, "layers", "manifest")
    if len(layers) > LAYER_LIMIT:
        raise InvalidArgument(f"manifest.layers has {len(layers)} entries, over {LAYER_LIMIT}")
    return Manifest(
        media_type=kind,
        config=descriptor.from_document(doc["config"], "manifest.config"),
        layers=tuple(
            [
                descriptor.from_document(layer, f"manifest.layers[{number}]")
                for number, layer in enumerate(layers)
            ]
        ),
        artifact_type=_fields.text(doc, "artifactType", "manifest"),
    )


def parse_config(data: bytes) -> ImageConfig:
    """Read an image's configuration.

    Raises:
        InvalidArgument: malformed; names the field.
    """
    doc = _fields.typed(jsonlite.loads(data, what="the image's config"), dict, "config")
    rootfs = _fields.table(doc, "rootfs", "config")
    kind = _fields.text(rootfs, "type", "config.rootfs")
    if kind not in ("", "layers"):
        raise InvalidArgument(f"config.rootfs.type is {kind[:60]!r}, not 'layers'")
    _check_run_fields(_fields.table(doc, "config", "config"))
    return ImageConfig(
        platform=Platform(
            os=_fields.text(doc, "os", "config"),
            architecture=_fields.text(doc, "architecture", "config"),
            variant=_fields.text(doc, "variant", "config"),
            os_version=_fields.text(doc, "os.version", "config"),
        ),
        created=_fields.text(doc, "created", "config"),
        diff_ids=tuple(
            [
                digest.parse(text, field=f"config.rootfs.diff_ids[{number}]")
                for number, text in enumerate(_fields.texts(rootfs, "diff_ids", "config.rootfs"))
            ]
        ),
        document=doc,
    )


def _check_run_fields(run: dict[str, Any]) -> None:
    """What a container is made of must have its type; the rest is carried as it is."""
    for key in ("Env", "Entrypoint", "Cmd"):
        _fields.texts(run, key, "config.config")
    for key in ("User", "WorkingDir", "StopSignal"):
        _fields.text(run, key, "config.config")
    for key in ("ExposedPorts", "Volumes"):
        _fields.table(run, key, "config.config")
    _fields.mapping(run, "Labels", "config.config")


def check_layers(manifest: Manifest, config: ImageConfig) -> None:
    """A manifest's layers and its config's diff ids must be as many.

    Raises:
        InvalidArgument: they are not, or a layer is no tar archive that is known.
    """
    if len(manifest.layers) != len(config.diff_ids):
        raise InvalidArgument(
            f"the manifest has {len(manifest.layers)} layers, but the config has "
            f"{len(config.diff_ids)} diff ids"
        )
    for number, layer in enumerate(manifest.layers):
        if layer.media_type not in descriptor.LAYERS:
            raise InvalidArgument(
                f"manifest.layers[{number}].mediaType is {layer.media_type[:120]!r}, "
                "which can't be unpacked"
            )


def chain_ids(diff_ids: tuple[Digest, ...]) -> tuple[Digest, ...]:
    """The identity of each stack of layers, lowest first (config.md, "Layer ChainID")."""
    chain: list[Digest] = []
    for diff_id in diff_ids:
        if not chain:
            chain.append(diff_id)
            continue
        joined = f"{chain[-1]} {diff_id}".encode()
        chain.append(digest.sha256(hashlib.sha256(joined).hexdigest()))
    return tuple(chain)
