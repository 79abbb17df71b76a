"""Descriptors: media type, digest and size of some content (OCI descriptor.md)."""

from __future__ import annotations

from corten.spec import _fields, digest, platform
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from corten.spec.digest import Digest
    from corten.spec.platform import Platform

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD: Final = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER_ZSTD: Final = "application/vnd.docker.image.rootfs.diff.tar.zstd"
DOCKER_FOREIGN_GZIP: Final = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
DOCKER_SCHEMA1: Final = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_SCHEMA1_SIGNED: Final = "application/vnd.docker.distribution.manifest.v1+prettyjws"

INDEXES: Final = frozenset((OCI_INDEX, DOCKER_LIST))
MANIFESTS: Final = frozenset((OCI_MANIFEST, DOCKER_MANIFEST))
CONFIGS: Final = frozenset((OCI_CONFIG, DOCKER_CONFIG))
SCHEMA1: Final = frozenset((DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED))
# How a layer's tar archive is packed: "" (not at all), "gzip", "zstd".
LAYERS: Final = {
    OCI_LAYER: "",
    OCI_LAYER_GZIP: "gzip",
    OCI_LAYER_ZSTD: "zstd",
    DOCKER_LAYER: "",
    DOCKER_LAYER_GZIP: "gzip",
    DOCKER_LAYER_ZSTD: "zstd",
    DOCKER_FOREIGN_GZIP: "gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar": "",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": "gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd": "zstd",
}


class Descriptor(Struct):
    """What some content is, and how it is verified.

    Fields:
        media_type: what it is.
        digest: of its bytes.
        size: in bytes; a content of another size is refused before it is hashed to the end.
        platform: what an index says about a manifest.
        urls: other places to fetch it from; not followed.
        annotations: free text.
        artifact_type: of an artifact's manifest.
    """

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    urls: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    artifact_type: str = ""

    def to_document(self) -> dict[str, Any]:
        """The JSON object of the specification."""
        doc: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.annotations:
            doc["annotations"] = dict(self.annotations)
        if self.platform is not None:
            doc["platform"] = {"architecture": self.platform.architecture, "os": self.platform.os}
            if self.platform.variant:
                doc["platform"]["variant"] = self.platform.variant
        return doc


def from_document(value: Any, where: str) -> Descriptor:
    """Read a descriptor; ``where`` is its place in the document, for errors.

    Raises:
        InvalidArgument: names the field.
    """
    doc = _fields.typed(value, dict, where)
    placed = doc.get("platform")
    return Descriptor(
        media_type=_fields.text(doc, "mediaType", where),
        digest=digest.parse(
            _fields.text(doc, "digest", where, required=True), field=f"{where}.digest"
        ),
        size=_fields.number(doc, "size", where, required=True),
        platform=None
        if placed is None
        else platform.from_document(
            _fields.typed(placed, dict, f"{where}.platform"), f"{where}.platform"
        ),
        urls=_fields.texts(doc, "urls", where),
        annotations=tuple(_fields.mapping(doc, "annotations", where).items()),
        artifact_type=_fields.text(doc, "artifactType", where),
    )
