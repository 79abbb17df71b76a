"""Images as the engine uses them: pull, look up, list, remove, make from this machine."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from corten.errors import CortenError, InvalidArgument, NotFound
from corten.images import catalog
from corten.images.catalog import Catalog
from corten.images.content import Content
from corten.images.host import closure, hello
from corten.images.layers import Layers, wanted
from corten.images.leases import Leases
from corten.images.local import LocalImages
from corten.images.making import Loaded, Maker
from corten.images.pull import Puller
from corten.images.push import Pushed, Pusher
from corten.images.registrar import Journal, Registrar
from corten.images.removal import Removal, User
from corten.images.saving import Saver, Wanted
from corten.images.settings import Settings
from corten.images.trees.service import Transfer, Trees
from corten.images.types import Auth, Blob, Change, ImageRecord, Progress, ProgressSink, Removed
from corten.snapshots.protocol import Snapshotter
from corten.spec import digest as digests
from corten.spec import reference
from corten.spec.descriptor import Descriptor
from corten.spec.platform import Platform
from corten.spec.reference import Reference
from corten.store.database import Database


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
        self._db = db
        self._snapshotter = snapshotter
        self._content = Content(root)
        self._catalog = Catalog(db)
        self._layers = Layers(self._content, snapshotter, settings)
        self._leases = Leases(db, self._content, snapshotter, self._catalog)
        self._registrar = Registrar(db, self._content, snapshotter, self._catalog, journal)
        parts = (self._content, self._layers, self._leases, self._registrar)
        self._local = LocalImages(*parts)
        self._puller = Puller(*parts, settings)
        self.trees = Trees(self._content, snapshotter, settings)
        self._maker = Maker(*parts, self.trees, settings)
        self._saver = Saver(self._content)
        self._pusher = Pusher(db, self._content, self._registrar, settings)

    async def start(self) -> None:
        """Remove what a crash left, and unpack anew what a power loss took. Before anything
        else, after the snapshotter's ``recover``."""
        await asyncio.to_thread(self._content.prepare)
        await self._leases.start()
        for image in self._catalog.all_stored():
            if image.chain_id and not self._snapshotter.has_layer(image.chain_id):
                await self._repair(image.id)

    async def _repair(self, image_id: str) -> None:
        """Unpack an image's layers again; where its blobs are gone, a pull must bring them."""

        try:
            manifest, config = await self._registrar.documents(image_id)
            await self._layers.ensure(wanted(manifest, config), None, _silent)
        except CortenError:
            return  # whoever uses it is told; the others must not suffer

    async def close(self) -> None:
        """End what is under way; connections, workers and removals are gone when it returns."""
        await self._puller.close()
        await self._layers.close()
        await asyncio.to_thread(self._content.close)

    # facts -----------------------------------------------------------------------------
    def layer_sizes(self, chain_id: str) -> Sequence[int]:
        """Unpacked bytes of an image's layers, lowest first."""
        return [layer.size for layer in self._snapshotter.stack(chain_id)][::-1]

    def layer_chain(self, chain_id: str) -> Sequence[str]:
        """The chain ids of an image's layers, topmost first."""
        return [layer.chain_id for layer in self._snapshotter.stack(chain_id)]

    async def blobs(self, image_id: str) -> Sequence[Blob]:
        """The files of an image in the content store, its manifest first.

        Raises:
            NotFound, DataLoss: there is no manifest that tells.
        """
        manifest, _ = await self._registrar.documents(image_id)
        named = [("manifest", await self._registrar.manifest_of(image_id))]
        named.append(("configuration", manifest.config.digest))
        named += [("packed layer", layer.digest) for layer in manifest.layers]
        return [
            Blob(
                what=what,
                digest=str(digest),
                path=self._content.path(digest),
                size=await self._content.size(digest),
            )
            for what, digest in dict.fromkeys(named)
        ]

    async def blob_bytes(self) -> int:
        """Bytes of all packed blobs."""
        return await self._content.total()

    # look-ups --------------------------------------------------------------------------
    def get(self, tenant: str, ref: str) -> ImageRecord:
        """NotFound (with a hint to pull), InvalidArgument for an ambiguous prefix."""
        return self._catalog.get(tenant, ref)

    def list(self, tenant: str) -> Sequence[ImageRecord]:
        """All images of a tenant, newest first."""
        return self._catalog.list(tenant)

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
        return await self._puller.pull(tenant, ref, platform, auth, progress or _silent)

    async def tags(self, ref: str, *, auth: Auth | None = None) -> Sequence[str]:
        """All tags that a repository has at its registry. Raises as :meth:`pull`."""
        return await self._puller.tags(ref, auth)

    async def look(
        self, tenant: str, ref: str, *, auth: Auth | None = None
    ) -> tuple[Descriptor, Sequence[Platform]]:
        """What a registry has under a name, and for which platforms. Raises as :meth:`pull`."""
        return await self._puller.look(tenant, ref, auth)

    async def commit(
        self,
        tenant: str,
        base: str,
        key: str,
        chain_id: str,
        document: dict[str, Any],
        name: str,
    ) -> ImageRecord:
        """An image of what a container changed; see :meth:`corten.images.making.Maker.commit`.

        Arguments:
            name: empty: none.
        """
        new = _new_name(name) if name else None
        return await self._maker.commit(tenant, base, key, chain_id, document, new)

    async def imported(
        self, tenant: str, document: dict[str, Any], name: str
    ) -> Transfer[ImageRecord]:
        """An image of one layer, whose archive comes over the transfer's socket."""
        return await self._maker.imported(tenant, document, _new_name(name) if name else None)

    async def load(
        self, tenant: str, progress: ProgressSink | None = None
    ) -> Transfer[Sequence[Loaded]]:
        """Every image of an archive, which comes over the transfer's socket."""
        return await self._maker.load(tenant, progress or _silent)

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
        if not programs:
            raise InvalidArgument("no program is given", step="image from host")
        name = _new_name(tag)
        run = self._content.run
        files, paths = await run(closure.collect, programs, step="image from host")
        command = tuple(cmd) or (paths[0],)
        return await self._local.make(tenant, name, files, {}, cmd=command, labels={})

    async def ensure_hello(self, tenant: str) -> ImageRecord:
        """The embedded default image ``hello:latest``, made at first use."""
        try:
            found = self.get(tenant, hello.NAME)
        except NotFound:
            pass
        else:
            labels = found.config.get("config", {}).get("Labels") or {}
            if labels.get(hello.LABEL, hello.VERSION) == hello.VERSION:
                return found
        files = await self._content.run(hello.collect, step="image from host")
        name = reference.parse(hello.NAME)
        labels = {hello.LABEL: hello.VERSION}
        return await self._local.make(
            tenant, name, files, hello.EXTRAS, cmd=hello.CMD, labels=labels
        )

    async def tag(self, tenant: str, ref: str, name: str) -> ImageRecord:
        """Give an image one more name (taken from another image if it has it)."""
        new = _new_name(name)

        def write(conn: sqlite3.Connection) -> ImageRecord:
            image_id = catalog.find(conn, tenant, ref)
            manifest = catalog.manifest_of(conn, tenant, image_id)
            catalog.put_name(conn, tenant, new, manifest.digest, manifest)
            change = Change(tenant=tenant, action="tag", image_id=image_id, name=str(new))
            self._registrar.journal(conn, [change])
            return self._catalog.record(conn, tenant, image_id)

        return await self._db.write(write)

    # giving away -----------------------------------------------------------------------
    async def save(self, tenant: str, refs: Sequence[str]) -> Transfer[None]:
        """An archive of images over the transfer's socket; a repository means all of its tags.

        Raises:
            NotFound: one of them is not here.
        """

        def read(conn: sqlite3.Connection) -> list[Wanted]:
            return [one for ref in refs for one in _wanted(conn, tenant, ref)]

        grouped: dict[str, Wanted] = {}
        for one in self._db.read(read):
            digest = str(one.described.digest)
            before = grouped[digest].names if digest in grouped else ()
            names = tuple(dict.fromkeys((*before, *one.names)))
            grouped[digest] = Wanted(one.described, names)
        return await self._saver.save(list(grouped.values()))

    async def push(
        self,
        tenant: str,
        ref: str,
        *,
        auth: Auth | None = None,
        progress: ProgressSink | None = None,
    ) -> Pushed:
        """Put an image into its registry under its name: what is there already is not sent.

        Raises:
            NotFound: no such name here, or no such repository there. Unauthenticated,
            PermissionDenied: the registry refuses. Unavailable: it does not answer.
        """
        return await self._pusher.push(tenant, reference.parse(ref), auth, progress or _silent)

    def names_of(self, tenant: str, repository: str) -> Sequence[str]:
        """The names with a tag that a repository has here."""
        whole = reference.parse(repository).repository

        def read(conn: sqlite3.Connection) -> Sequence[str]:
            return [str(one) for one in catalog.names_of_repository(conn, tenant, whole)]

        return self._db.read(read)

    async def check_login(self, server: str, auth: Auth) -> None:
        """Whether a registry takes these credentials. Unauthenticated if it does not."""
        host = server.partition("://")[2] or server
        domain, _ = reference.split_domain(f"{host.partition('/')[0]}/x")
        await self._pusher.check(domain, auth)

    # removing --------------------------------------------------------------------------
    async def remove(
        self,
        tenant: str,
        ref: str,
        *,
        force: bool = False,
        users: Mapping[str, User] | None = None,
    ) -> Sequence[Removed]:
        """Untag, or delete with the last name (Docker's rules for ``rmi``).

        Arguments:
            force: remove all names of an id that has several.
            users: containers of images, by image; refused without ``force``.
        Raises:
            NotFound, FailedPrecondition (in use; several names).
        """

        own: list[str] = []  # of its layers those that go with it are told, the topmost first

        def write(conn: sqlite3.Connection) -> Sequence[Removed]:
            image_id = catalog.find(conn, tenant, ref)
            own.extend(self._layers_of(self._catalog.stored(conn, image_id).chain_id))
            removal = Removal(conn, tenant, force=force, users=users or {})
            name = catalog.name_meant(conn, tenant, ref)
            if name:
                removal.by_name(image_id, name, ref)
            else:
                removal.by_id(image_id)
            self._registrar.journal(conn, removal.changes)
            return removal.done

        done = list(await self._db.write(write))
        gone = [one.image_id for one in done if one.action == "delete"]
        if gone:
            swept = set(await self.collect())
            done += [
                Removed(action="delete", target=chain_id, image_id=gone[0])
                for chain_id in own
                if chain_id in swept
            ]
        return done

    def _layers_of(self, chain_id: str) -> Sequence[str]:
        try:
            return self.layer_chain(chain_id)
        except NotFound:  # a power loss took one
            return []

    async def collect(self) -> Sequence[str]:
        """Garbage collection: layers and blobs that no image and no lease needs.

        Returns:
            the chain ids of the layers that are gone.
        """
        return await self._leases.collect()


def _silent(_: Progress) -> None:
    """Nobody listens."""


def _wanted(conn: sqlite3.Connection, tenant: str, ref: str) -> list[Wanted]:
    """What one argument of ``save`` means: names, or an image without one."""
    repository = catalog.repository_meant(conn, tenant, ref)
    if repository:
        return [_named(conn, tenant, one) for one in repository]
    name = catalog.name_meant(conn, tenant, ref)
    if not name:
        row = catalog.manifest_of(conn, tenant, catalog.find(conn, tenant, ref))
        return [Wanted(_described(row), ())]
    return [_named(conn, tenant, reference.parse(name))]


def _named(conn: sqlite3.Connection, tenant: str, name: Reference) -> Wanted:
    row = catalog.manifest_of_name(conn, tenant, name)
    return Wanted(_described(row), () if name.digest is not None else (name,))


def _described(row: catalog.ManifestRow) -> Descriptor:
    return Descriptor(media_type=row.media_type, digest=digests.parse(row.digest), size=row.size)


def _new_name(text: str) -> Reference:
    name = reference.parse(text)
    if name.digest is not None:
        raise InvalidArgument(f"{text} has a digest; a name to give has a tag", step="tag")
    return name
