"""What archives of images say: docker's ``manifest.json`` and OCI's layouts. No I/O."""

from __future__ import annotations

from typing import Any

from corten.errors import CortenError, InvalidArgument
from corten.spec import _fields, descriptor, jsonlite, reference
from corten.spec import digest as digests
from corten.spec.descriptor import Descriptor
from corten.spec.reference import Reference

MANIFEST = "manifest.json"
INDEX = "index.json"
LAYOUT = "oci-layout"
CONTAINERD_NAME = "io.containerd.image.name"
REF_NAME = "org.opencontainers.image.ref.name"
_IMAGES = 1000
_LINKS = 8
_LAYER_TYPES = {
    "": descriptor.DOCKER_LAYER,
    "gzip": descriptor.DOCKER_LAYER_GZIP,
    "zstd": descriptor.DOCKER_LAYER_ZSTD,
}


class Member:
    """A file of an archive, as the worker has put it down."""

    __slots__ = ("digest", "file", "packed", "size")

    def __init__(self, doc: dict[str, Any]) -> None:
        self.file = str(doc["file"])
        self.digest = digests.parse(doc["digest"])
        self.size = int(doc["size"])
        self.packed = str(doc["packed"])

    def layer(self) -> Descriptor:
        """It as a layer of docker's."""
        return Descriptor(media_type=_LAYER_TYPES[self.packed], digest=self.digest, size=self.size)


class Members:
    """The files of one archive by name, links followed."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self._files: dict[str, Any] = answer["files"]
        self._links: dict[str, str] = answer["links"]

    def get(self, name: str) -> Member | None:
        """A member; None where there is none."""
        for _ in range(_LINKS):
            if name in self._files:
                return Member(self._files[name])
            if name not in self._links:
                return None
            name = self._links[name]
        return None

    def need(self, name: str) -> Member:
        """A member. Raises InvalidArgument where there is none."""
        found = self.get(name)
        if found is None:
            raise InvalidArgument(f"the archive has no {name[:200]!r}", step="load")
        return found

    def blob(self, one: Descriptor) -> Member | None:
        """What a layout has under a digest, verified; None where it is left out.

        Raises:
            InvalidArgument: other bytes than the digest's.
        """
        found = self.get(f"blobs/{one.digest.algorithm}/{one.digest.hex}")
        if found is None:
            return None
        if one.digest.algorithm != "sha256":
            raise InvalidArgument(f"the archive has a blob {one.digest}; only sha256 is read")
        if found.digest != one.digest or (one.size and found.size != one.size):
            raise InvalidArgument(
                f"the archive's blob {one.digest} has other contents", step="load"
            )
        return found


def packing(head: bytes) -> str:
    """How a layer is packed, by its first bytes: ``""``, ``gzip`` or ``zstd``."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    return "zstd" if head.startswith(b"\x28\xb5\x2f\xfd") else ""


class Saved:
    """One entry of ``manifest.json``."""

    __slots__ = ("config", "layers", "names")

    def __init__(self, config: str, layers: list[str], names: list[Reference]) -> None:
        self.config = config
        self.layers = layers
        self.names = names


def parse_manifest_json(data: bytes) -> list[Saved]:
    """docker's list of images (image specification 1.2, "Combined Image JSON + Filesystem
    Changeset Format").

    Raises:
        InvalidArgument: it is none; names the field.
    """
    entries = _fields.typed(jsonlite.loads(data, what=MANIFEST), list, MANIFEST)
    if len(entries) > _IMAGES:
        raise InvalidArgument(f"{MANIFEST} has {len(entries)} images")
    found = []
    for number, entry in enumerate(entries):
        where = f"{MANIFEST}[{number}]"
        doc = _fields.typed(entry, dict, where)
        found.append(
            Saved(
                config=normal(_fields.text(doc, "Config", where, required=True)),
                layers=[normal(name) for name in _fields.texts(doc, "Layers", where)],
                names=[reference.parse(name) for name in _fields.texts(doc, "RepoTags", where)],
            )
        )
    return found


def normal(name: str) -> str:
    """A member's name as the worker gives it: no ``./``, nothing above the archive."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidArgument(f"{name[:200]!r} leads out of the archive", step="load")
    return "/".join(parts)


def name_of(one: Descriptor) -> Reference | None:
    """The name that a layout gives an image; None for none that is whole."""
    notes = dict(one.annotations)
    text = notes.get(CONTAINERD_NAME) or notes.get(REF_NAME, "")
    if not text or (CONTAINERD_NAME not in notes and ":" not in text and "/" not in text):
        return None  # a bare tag, of no repository
    try:
        return reference.parse(text)
    except CortenError:
        return None


def manifest_json(images: list[tuple[str, list[str], list[str]]]) -> bytes:
    """The document for (config's hex digits, familiar names, layers' hex digits)."""
    return jsonlite.dumpb(
        [
            {
                "Config": f"blobs/sha256/{config}",
                "RepoTags": names or None,
                "Layers": [f"blobs/sha256/{layer}" for layer in layers],
            }
            for config, names, layers in images
        ]
    )


def index_json(entries: list[tuple[Descriptor, Reference | None]]) -> bytes:
    """A layout's index, an entry per image and name."""
    manifests = []
    for one, name in entries:
        doc = one.to_document()
        if name is not None:
            doc["annotations"] = {CONTAINERD_NAME: str(name), REF_NAME: name.tag}
        manifests.append(doc)
    return jsonlite.dumpb(
        {"schemaVersion": 2, "mediaType": descriptor.OCI_INDEX, "manifests": manifests}
    )
