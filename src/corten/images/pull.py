"""A pull: from a name to documents and layers, and to a name again."""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp

from corten.errors import (
    CortenError,
    DataLoss,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unimplemented,
)
from corten.images.content import Content
from corten.images.layers import Layers, wanted
from corten.images.leases import Lease, Leases
from corten.images.registrar import Registrar
from corten.images.registry.client import Repository
from corten.images.registry.connection import Connection, session
from corten.images.settings import Settings
from corten.images.shared import Shared
from corten.images.types import Auth, ImageRecord, Progress, ProgressSink
from corten.spec import descriptor, image, reference
from corten.spec import platform as platforms
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import ImageConfig, Index, Manifest
from corten.spec.platform import Platform
from corten.spec.reference import Reference

_INDEX_DEPTH = 2  # an index of indexes is allowed by the specification, and rare
_NO_IMAGE = "vnd.docker.reference.type"  # annotation of attestations beside the images
# What to do where nobody below knows better.
_HINTS: dict[type[CortenError], str] = {
    InvalidArgument: "the image itself is wrong: have whoever made it push it again",
    DataLoss: "try again; if that does not help, have whoever made it push it again",
    Unavailable: "try again later",
}


class Puller:
    """Pulls for one daemon."""

    def __init__(
        self,
        content: Content,
        layers: Layers,
        leases: Leases,
        registrar: Registrar,
        settings: Settings,
    ) -> None:
        self._content = content
        self._layers = layers
        self._leases = leases
        self._registrar = registrar
        self._settings = settings
        self._running: Shared[ImageRecord] = Shared()
        self._http: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """End what is under way."""
        await self._running.cancel_all()
        if self._http is not None:
            await self._http.close()

    async def pull(
        self,
        tenant: str,
        text: str,
        platform: str,
        auth: Auth | None,
        report: ProgressSink,
    ) -> ImageRecord:
        """See :meth:`corten.images.service.ImageService.pull`."""
        name = reference.parse(text)
        asked = platforms.parse(platform) if platform else None

        async def work(sink: ProgressSink) -> ImageRecord:
            try:
                return await self._pull(tenant, name, asked, auth, sink)
            except CortenError as error:
                error.path = error.path or name.familiar
                error.hint = error.hint or _HINTS.get(type(error), "")
                raise

        # What one user may see another may not: credentials are part of what is joined.
        user = "" if auth is None else str(hash((auth.username, auth.password)))
        user += "" if auth is None else str(hash((auth.identity_token, auth.registry_token)))
        return await self._running.join(f"{tenant} {name} {asked} {user}", work, report)

    async def tags(self, text: str, auth: Auth | None) -> Sequence[str]:
        """See :meth:`corten.images.service.ImageService.tags`."""
        return await self._repository(reference.parse(text), auth).tags()

    async def look(
        self, tenant: str, text: str, auth: Auth | None
    ) -> tuple[Descriptor, Sequence[Platform]]:
        """See :meth:`corten.images.service.ImageService.look`."""
        name = reference.parse(text)
        source = self._repository(name, auth)
        found, raw = await source.manifest(name.digest or name.tag)
        manifest = image.parse_manifest(raw, found.media_type)
        if not isinstance(manifest, Manifest):
            return found, [one.platform for one in manifest.manifests if one.platform is not None]
        async with self._leases.hold(f"look:{tenant}:{name}", tenant) as lease:
            return found, [(await self._config(source, lease, manifest, name)).platform]

    async def _pull(
        self,
        tenant: str,
        name: Reference,
        asked: Platform | None,
        auth: Auth | None,
        report: ProgressSink,
    ) -> ImageRecord:
        source = self._repository(name, auth)
        async with self._leases.hold(f"pull:{tenant}:{name}:{asked}", tenant) as lease:
            known = bool(self._registrar.current(tenant, name))
            top, data = await self._top(source, lease, name, known=known)
            # Not before: a pull of what is not there fails without a word of progress.
            shown = name.tag or str(name.digest)
            report(Progress(id=shown, status=f"Pulling from {_shown_path(name)}"))
            found, raw = await self._choose(source, lease, top, data, asked, name)
            manifest = image.parse_manifest(raw, found.media_type)
            assert isinstance(manifest, Manifest)
            config = await self._config(source, lease, manifest, name)
            self._check_platform(config, asked, name)
            await self._get_layers(source, lease, manifest, config, report)
            return await self._name(tenant, name, top, found, manifest, config, report)

    def _repository(self, name: Reference, auth: Auth | None) -> Repository:
        if self._http is None:
            self._http = session(self._settings)
        connection = Connection(self._http, name.domain, name.path, auth, self._settings)
        return Repository(connection, self._settings, name.familiar_repository)

    # documents -------------------------------------------------------------------------
    async def _top(
        self, source: Repository, lease: Lease, name: Reference, *, known: bool
    ) -> tuple[Descriptor, bytes]:
        """What the name points to. The registry is always asked: it knows who may have it."""
        digest = name.digest
        if digest is not None or known:
            head = await source.head(digest or name.tag)
            if head is not None:
                return await self._get(source, lease, digest or head.digest)
        return await self._fetch(source, lease, digest or name.tag)

    async def _get(
        self, source: Repository, lease: Lease, digest: Digest
    ) -> tuple[Descriptor, bytes]:
        """A manifest or index, from the store where it is there already."""
        await lease.add([str(digest)])
        size = await self._content.size(digest)
        if size is None:
            return await self._fetch(source, lease, digest)
        data = await self._content.read(digest, limit=image.MANIFEST_LIMIT)
        return Descriptor(media_type="", digest=digest, size=size), data

    async def _fetch(
        self, source: Repository, lease: Lease, wanted: Digest | str
    ) -> tuple[Descriptor, bytes]:
        found, data = await source.manifest(wanted)
        # Nothing that can't be read is kept.
        image.parse_manifest(data, found.media_type)
        await lease.add([str(found.digest)])
        await self._content.add(found, data)
        return found, data

    async def _choose(
        self,
        source: Repository,
        lease: Lease,
        top: Descriptor,
        data: bytes,
        asked: Platform | None,
        name: Reference,
    ) -> tuple[Descriptor, bytes]:
        """Down the indexes to the manifest of the platform."""
        for _ in range(_INDEX_DEPTH + 1):
            parsed = image.parse_manifest(data, top.media_type)
            if isinstance(parsed, Manifest):
                return _typed(top, parsed.media_type), data
            child = _child(parsed, asked or platforms.local(), name)
            top, data = await self._get(source, lease, child.digest)
            if top.size != child.size:
                raise InvalidArgument(
                    f"the index says that {child.digest} has {child.size} bytes, not {top.size}"
                )
            top = _typed(top, top.media_type or child.media_type)
        raise InvalidArgument(f"{name.familiar} is an index of indexes of indexes")

    async def _config(
        self, source: Repository, lease: Lease, manifest: Manifest, name: Reference
    ) -> ImageConfig:
        wanted = manifest.config
        if manifest.artifact_type or wanted.media_type not in descriptor.CONFIGS:
            kind = manifest.artifact_type or wanted.media_type
            raise Unimplemented(
                f"{name.familiar} is no image but an artifact of type {kind[:120]!r}", step="pull"
            )
        if wanted.size > image.MANIFEST_LIMIT:
            raise InvalidArgument(f"the image's config has {wanted.size} bytes")
        await lease.add([str(wanted.digest)])
        if await self._content.size(wanted.digest) != wanted.size:
            async with await self._content.ingest(wanted) as ingest:
                await source.blob(wanted, ingest, _nothing, _silent)
                await ingest.commit()
        config = image.parse_config(
            await self._content.read(wanted.digest, limit=image.MANIFEST_LIMIT)
        )
        image.check_layers(manifest, config)
        return config

    def _check_platform(self, config: ImageConfig, asked: Platform | None, name: Reference) -> None:
        """A single manifest has no index that would have been asked."""
        if asked is not None and platforms.choose((config.platform,), asked) < 0:
            raise NotFound(
                f"{name.familiar} was found, but it is for {config.platform}, not for {asked}",
                step="pull",
                hint="leave --platform away, or choose a tag for that platform",
            )

    # layers and names ------------------------------------------------------------------
    async def _get_layers(
        self,
        source: Repository,
        lease: Lease,
        manifest: Manifest,
        config: ImageConfig,
        report: ProgressSink,
    ) -> None:
        stack = wanted(manifest, config)
        await lease.add(
            [str(one.descriptor.digest) for one in stack], [str(one.chain_id) for one in stack]
        )
        await self._layers.ensure(stack, source.blob, report)

    async def _name(
        self,
        tenant: str,
        name: Reference,
        top: Descriptor,
        found: Descriptor,
        manifest: Manifest,
        config: ImageConfig,
        report: ProgressSink,
    ) -> ImageRecord:
        target = str(top.digest)
        names = [(_with_digest(name, top), target)]
        if name.digest is None:
            names.insert(0, (name, target))
        before = self._registrar.current(tenant, name)
        record = await self._registrar.register(
            tenant, names, described=found, manifest=manifest, config=config, action="pull"
        )
        report(Progress(id="", status=f"Digest: {target}"))
        known = before == record.id
        done = "Image is up to date for" if known else "Downloaded newer image for"
        report(Progress(id="", status=f"Status: {done} {name.familiar}"))
        return record


def _typed(found: Descriptor, media_type: str) -> Descriptor:
    return Descriptor(media_type=media_type, digest=found.digest, size=found.size)


def _with_digest(name: Reference, top: Descriptor) -> Reference:
    return Reference(domain=name.domain, path=name.path, digest=top.digest)


def _child(index: Index, platform: Platform, name: Reference) -> Descriptor:
    """The manifest for a platform.

    Raises:
        NotFound: there is none; names what there is.
    """
    offers = [one for one in index.manifests if _is_image(one)]
    number = platforms.choose(tuple([one.platform for one in offers]), platform)
    if number < 0:
        raise NotFound(
            f"no matching manifest for {platform} in the manifest list entries of {name.familiar}",
            step="pull",
            hint=f"there is: {_offered(offers)}" if offers else "the index is empty",
        )
    return offers[number]


def _is_image(one: Descriptor) -> bool:
    kinds = descriptor.MANIFESTS | descriptor.INDEXES | {""}
    return one.media_type in kinds and _NO_IMAGE not in dict(one.annotations)


def _offered(offers: Sequence[Descriptor]) -> str:
    return ", ".join([str(one.platform) for one in offers if one.platform is not None])


def _shown_path(name: Reference) -> str:
    return name.path if name.domain == reference.DEFAULT_DOMAIN else name.repository


def _nothing() -> None:
    """Nobody follows."""


def _silent(_: Progress) -> None:
    """Nobody listens."""
