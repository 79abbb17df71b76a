"""The values that :class:`corten.images.service.ImageService` takes and gives.

The engine maps them to its own types; the fields have the same names and meanings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec


class ImageRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image as a tenant sees it.

    Fields:
        id: digest of the configuration.
        tags: canonical names with tag.
        digests: canonical names with the digest as it was pulled (an index's where there was one).
        created_at: nanoseconds since the epoch; 0 unknown.
        size: bytes of all layers, unpacked.
        config: the image's configuration document, whole.
        layers: diff ids, lowest first.
        chain_id: what a snapshot is prepared on; ``""`` for an image without layers.
        manifest: digest of this platform's manifest.
        tenant: whose it is.
    """

    id: str
    tenant: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    created_at: int = 0
    size: int = 0
    os: str = "linux"
    architecture: str = ""
    variant: str = ""
    config: dict[str, Any] = {}
    layers: tuple[str, ...] = ()
    chain_id: str = ""
    manifest: str = ""


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the content store that belongs to an image.

    Fields:
        what: ``manifest``, ``configuration`` or ``packed layer``.
        size: bytes; None: it is not there (any more).
    """

    what: str
    digest: str
    path: str
    size: int | None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a pull, in Docker's words.

    Fields:
        id: a layer's short digest, or ``""`` for the whole (then ``status`` is a sentence).
        status: "Pulling fs layer", "Downloading", "Verifying Checksum", "Download complete",
            "Extracting", "Pull complete", "Already exists", "Retrying".
        current, total: bytes.
    """

    id: str
    status: str
    current: int = 0
    total: int = 0


class Auth(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials for a registry. Never logged: ``repr`` hides them."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        return "Auth(…)"


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a removal did: ``untag`` of a name, ``delete`` of an image or layer."""

    action: Literal["untag", "delete"]
    target: str
    image_id: str = ""


Action = Literal["pull", "tag", "untag", "delete", "import", "load", "save", "push", "commit"]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal is told inside the transaction that makes it so."""

    tenant: str
    action: Action
    image_id: str
    name: str = ""


ProgressSink = Callable[[Progress], None]
