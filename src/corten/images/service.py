"""Images as the engine uses them: pull, look up, list, remove, make from this machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from corten.errors import Unimplemented
from corten.images.types import Auth, Change, ImageRecord, ProgressSink, Removed

if TYPE_CHECKING:
    from corten.images.settings import Settings
    from corten.snapshots.protocol import Snapshotter
    from corten.store.database import Database

Journal = Callable[[sqlite3.Connection, Change], None]


class ImageService:
    """All images of one daemon.

    ``ref`` is a name (``redis``, ``docker.io/library/redis:7``, ``redis@sha256:…``), an id with
    or without ``sha256:``, or a unique prefix of an id. Look-ups are synchronous and read the
    last committed state. Operations may be awaited by several callers; one that is cancelled
    leaves nothing half visible (a pull that several wait for goes on for the others).
    """

    def __init__(
        self,
        root: str,
        db: Database,
        snapshotter: Snapshotter,
        settings: Settings,
        *,
        journal: Journal | None = None,
    ) -> None:
        """Wire up; no effect before :meth:`start`.

        Arguments:
            root: the data root R; blobs lie in R/blobs, temporary ones in R/ingest.
            journal: called inside each transaction that changes an image, to write the event.
        """

    async def start(self) -> None:
        """Remove what a crash left (stale ingests, staged layers). Before anything else."""

    async def close(self) -> None:
        """End what is under way; connections, workers and removals are gone when it returns."""

    # look-ups --------------------------------------------------------------------------
    def get(self, tenant: str, ref: str) -> ImageRecord:
        """NotFound (with a hint to pull), InvalidArgument for an ambiguous prefix."""
        raise Unimplemented("image look-up")

    def list(self, tenant: str) -> list[ImageRecord]:
        """All images of a tenant, newest first."""
        raise Unimplemented("image list")

    # making ----------------------------------------------------------------------------
    async def pull(
        self,
        tenant: str,
        ref: str,
        *,
        platform: str = "",
        auth: Auth | None = None,
        progress: ProgressSink | None = None,
    ) -> ImageRecord:
        """Fetch an image, unpack it and give it its name. The same pull twice is joined.

        Raises:
            NotFound: no such repository, tag or platform. Unauthenticated, PermissionDenied:
            the registry refuses. Unavailable: it does not answer. DataLoss: wrong digest, damaged
            layer. ResourceExhausted: disk full.
        """
        raise Unimplemented("pull")

    async def from_host(
        self, tenant: str, tag: str, programs: Sequence[str], *, cmd: Sequence[str] = ()
    ) -> ImageRecord:
        """Make an image of programs of this machine and the libraries they load.

        Arguments:
            programs: absolute paths, or names looked up in PATH.
            cmd: the image's command; empty: the first program.
        Raises:
            NotFound: no such program.
        """
        raise Unimplemented("image from host")

    async def ensure_hello(self, tenant: str) -> ImageRecord:
        """The embedded default image ``hello:latest``, made at first use."""
        raise Unimplemented("hello")

    async def tag(self, tenant: str, ref: str, name: str) -> ImageRecord:
        """Give an image one more name (taken from another image if it has it)."""
        raise Unimplemented("tag")

    # removing --------------------------------------------------------------------------
    async def remove(
        self, tenant: str, ref: str, *, force: bool = False, in_use: Collection[str] = ()
    ) -> list[Removed]:
        """Untag, or delete with the last name (Docker's rules for ``rmi``).

        Arguments:
            force: remove all names of an id that has several.
            in_use: ids of images that containers use: refused without ``force``, else untagged only.
        Raises:
            NotFound, FailedPrecondition (in use; several names).
        """
        raise Unimplemented("image removal")

    async def collect(self) -> None:
        """Garbage collection: layers and blobs that no image and no lease needs."""
