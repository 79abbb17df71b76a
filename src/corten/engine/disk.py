"""What takes space, and giving it back: ``system df``, ``image prune``, ``container prune``."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from corten.engine import states
from corten.engine.library import Library
from corten.engine.parts import Parts
from corten.engine.removing import Remover
from corten.engine.types import (
    Container,
    ContainerUsage,
    DiskUsage,
    Image,
    ImageUsage,
    Pruned,
    PruneFilter,
    Tenant,
)
from corten.errors import CortenError, FailedPrecondition, NotFound

_log = logging.getLogger(__name__)


class Disk:
    """Measures and prunes."""

    def __init__(self, parts: Parts, library: Library, remover: Remover) -> None:
        self._parts = parts
        self._library = library
        self._remover = remover

    # measuring -------------------------------------------------------------------------

    async def usage(self, tenant: Tenant) -> DiskUsage:
        """See ``contract.Engine.disk_usage``."""
        parts = self._parts
        records = list(parts.images.list(tenant))
        stacks = {one.id: self._stack(one.chain_id) for one in records}
        counts: dict[str, int] = {}
        sizes: dict[str, int] = {}
        for stack in stacks.values():
            for chain_id, size in stack.items():
                counts[chain_id] = counts.get(chain_id, 0) + 1
                sizes[chain_id] = size
        containers = [c for c in parts.view.containers.values() if c.tenant == tenant]
        images = [
            ImageUsage(
                id=one.id,
                shared=sum([size for c, size in stacks[one.id].items() if counts[c] > 1]),
                containers=sum([c.image_id == one.id for c in containers]),
            )
            for one in records
        ]
        measured = [await self.container(tenant, one.id) for one in containers]
        return DiskUsage(
            layers=sum(sizes.values()),
            blobs=await parts.images.blob_bytes(),
            images=tuple(images),
            containers=tuple(measured),
        )

    def _stack(self, chain_id: str) -> dict[str, int]:
        try:
            chains = self._parts.images.layer_chain(chain_id)
            return dict(zip(chains, self._parts.images.layer_sizes(chain_id)[::-1], strict=True))
        except NotFound:  # a layer that a power loss took
            return {}

    async def container(self, tenant: Tenant, ref: str) -> ContainerUsage:
        """See ``contract.Engine.container_size``."""
        parts = self._parts
        record = parts.view.container(tenant, ref)
        try:
            own = (await parts.snapshots.usage(record.id)).size
        except CortenError:  # removed meanwhile
            own = 0
        try:
            image = self._library.find(tenant, record.image_id).size
        except NotFound:
            image = 0
        return ContainerUsage(id=record.id, writable=own, root=image + own)

    # pruning ---------------------------------------------------------------------------

    async def prune_images(
        self, tenant: Tenant, wanted: PruneFilter, *, everything: bool, dry_run: bool
    ) -> Pruned:
        """See ``contract.Engine.prune_images``."""
        before = await self._bytes(tenant)
        found: list[Image] = []
        for image in self._library.own(tenant):
            labels = (image.config.get("config") or {}).get("Labels") or {}
            if (image.tags and not everything) or not wanted.passes(image.created_at, labels):
                continue
            found.append(image)
        used = {c.image_id for c in self._parts.view.containers.values()}
        found = [image for image in found if image.id not in used]
        if dry_run:
            return self._would(found)
        removed: list[tuple[str, str]] = []
        for image in found:
            removed += await self._remove_image(tenant, image)
        space = max(0, before - await self._bytes(tenant))
        return Pruned(removed=tuple(removed), space=space)

    def _would(self, found: Sequence[Image]) -> Pruned:
        removed: list[tuple[str, str]] = []
        for image in found:
            removed += [("untag", name) for name in (*image.tags, *image.digests)]
            removed.append(("delete", image.id))
        return Pruned(removed=tuple(removed), space=sum([image.size for image in found]))

    async def _remove_image(self, tenant: Tenant, image: Image) -> list[tuple[str, str]]:
        done: list[tuple[str, str]] = []
        refs = [*image.tags, *image.digests] or [image.id]
        for ref in refs:
            try:
                events = await self._library.remove(tenant, ref, force=False)
            except (FailedPrecondition, NotFound):  # in use, or gone with the name before
                continue
            done += [(event.action, event.attributes["name"]) for event in events]
        return done

    async def _bytes(self, tenant: Tenant) -> int:
        chains: dict[str, int] = {}
        for one in self._parts.images.list(tenant):
            chains |= self._stack(one.chain_id)
        return sum(chains.values()) + await self._parts.images.blob_bytes()

    async def prune_containers(
        self, tenant: Tenant, wanted: PruneFilter, *, dry_run: bool
    ) -> Pruned:
        """See ``contract.Engine.prune_containers``."""
        removed: list[tuple[str, str]] = []
        space = 0
        for record in list(self._parts.view.containers.values()):
            if not self._prunable(record, tenant, wanted):
                continue
            size = (await self.container(tenant, record.id)).writable
            if not dry_run:
                try:
                    await self._remover.remove(tenant, record.id, force=False)
                except (FailedPrecondition, NotFound):  # started or removed meanwhile
                    continue
            removed.append(("delete", record.id))
            space += size
        return Pruned(removed=tuple(removed), space=space)

    def _prunable(self, record: Container, tenant: Tenant, wanted: PruneFilter) -> bool:
        if record.tenant != tenant or record.pod_id or states.is_running(record):
            return False
        return wanted.passes(record.created_at, record.config.labels)
