"""Explaining an image."""

from __future__ import annotations

from corten.engine.explaining.types import Explanation, Place, Related, Removal, frees
from corten.engine.parts import Parts
from corten.engine.types import Tenant
from corten.errors import CortenError, NotFound
from corten.images.host import view as hostview
from corten.images.types import Blob, ImageRecord
from corten.spec.reference import parse


async def explain(parts: Parts, tenant: Tenant, record: ImageRecord) -> Explanation:
    """See ``contract.Engine.explain``."""
    if record.id == hostview.ID:
        return _host(parts, record)
    others = [one for one in _everyone(parts) if one.id != record.id]
    users = [c for c in parts.view.containers.values() if c.image_id == record.id]
    places = _layers(parts, record, others) + await _blobs(parts, record, others)
    name = record.tags[0] if record.tags else record.id
    related = [Related(kind="container", id=c.id, name=c.name, how="made of it") for c in users]
    related += _sharing(parts, record, others)
    return Explanation(
        kind="image",
        id=record.id,
        name=name,
        tenant=record.tenant,
        what=_what(record, tenant),
        places=tuple(places),
        related=tuple(related),
        removal=_removal(record, tuple(places), [c.name for c in users]),
    )


def _everyone(parts: Parts) -> list[ImageRecord]:
    return [one for tenant in ("docker", "k8s") for one in parts.images.list(tenant)]


def _what(record: ImageRecord, tenant: Tenant) -> str:
    names = ", ".join(record.tags) or "without a name"
    whose = f", of the tenant {record.tenant}" if record.tenant != tenant else ""
    platform = f"{record.os}/{record.architecture}"
    return f"an image of {len(record.layers)} layer(s) for {platform}: {names}{whose}"


def _chains(parts: Parts, record: ImageRecord) -> set[str]:
    try:
        return set(parts.images.layer_chain(record.chain_id)) if record.chain_id else set()
    except NotFound:
        return set()


def _layers(parts: Parts, record: ImageRecord, others: list[ImageRecord]) -> list[Place]:
    kept: set[str] = set()
    for other in others:
        kept |= _chains(parts, other)
    try:
        stack = parts.snapshots.stack(record.chain_id) if record.chain_id else []
    except NotFound:
        return []
    return [
        Place(
            what="layer" + (", shared with others" if layer.chain_id in kept else ""),
            path=layer.path,
            size=layer.size,
            goes="no" if layer.chain_id in kept else "yes",
        )
        for layer in reversed(stack)
    ]


async def _blobs(parts: Parts, record: ImageRecord, others: list[ImageRecord]) -> list[Place]:
    kept: set[str] = set()
    for other in others:
        kept |= {blob.digest for blob in await _blobs_of(parts, other)}
    return [
        Place(
            what=blob.what + (", shared with others" if blob.digest in kept else ""),
            path=blob.path,
            size=blob.size,
            goes="no" if blob.digest in kept else "yes",
        )
        for blob in await _blobs_of(parts, record)
        if blob.size is not None
    ]


async def _blobs_of(parts: Parts, record: ImageRecord) -> list[Blob]:
    try:
        return list(await parts.images.blobs(record.id))
    except CortenError:  # its manifest is gone: only the layers are left
        return []


def _sharing(parts: Parts, record: ImageRecord, others: list[ImageRecord]) -> list[Related]:
    own = _chains(parts, record)
    return [
        Related(
            kind="image",
            id=one.id,
            name=one.tags[0] if one.tags else "",
            how="shares layers with it",
        )
        for one in others
        if own & _chains(parts, one)
    ]


def _removal(record: ImageRecord, places: tuple[Place, ...], users: list[str]) -> Removal:
    names = f"{len(record.tags)} names" if len(record.tags) != 1 else "its name"
    takes = [names if record.tags else "its record", "layers and blobs that no other image has"]
    obstacle = ""
    if users:
        obstacle = f"made of it: {', '.join(users)}"
    elif len(record.tags) > 1:
        obstacle = "it has several names: each is removed by itself, or all with -f and the id"
    short = parse(record.tags[0]).familiar if record.tags else record.id.partition(":")[2][:12]
    return Removal(
        command=f"corten rmi {short}",
        obstacle=obstacle,
        takes=tuple(takes),
        leaves=("what other images share with it",) if any(p.goes == "no" for p in places) else (),
        frees=frees(places),
    )


def _host(parts: Parts, record: ImageRecord) -> Explanation:
    users = [c for c in parts.view.containers.values() if c.image_id == record.id]
    return Explanation(
        kind="image",
        id=record.id,
        name=hostview.NAME,
        tenant=record.tenant,
        what="a view of this machine's own /usr, read only; no bytes of its own, no digest",
        places=(Place(what="the machine's programs", path="/usr"),),
        related=tuple(
            [Related(kind="container", id=c.id, name=c.name, how="made of it") for c in users]
        ),
        removal=Removal(command="", obstacle="it is always there"),
    )
