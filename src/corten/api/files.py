"""Requests about containers' files and images' archives.

The archive itself does not pass here: the client gets the end of a connection that leads to the
program which reads or writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corten.api import requests as r

if TYPE_CHECKING:
    from corten.api.connection import Call
    from corten.engine.contract import Engine
    from corten.engine.types import ContainerUsage, DiskUsage, Image, Pruned


async def _carry(call: Call, transfer: Any) -> Any:
    async with transfer:
        call.item(transfer.stat, (transfer.take(),))
        return await transfer.done()


async def stat_path(engine: Engine, q: r.StatPath, _call: Call) -> Any:
    return await engine.stat_path(q.tenant, q.ref, q.path)


async def copy_out(engine: Engine, q: r.CopyOut, call: Call) -> None:
    await _carry(call, await engine.copy_out(q.tenant, q.ref, q.path))


async def copy_in(engine: Engine, q: r.CopyIn, call: Call) -> None:
    transfer = await engine.copy_in(
        q.tenant, q.ref, q.path, keep_kinds=q.keep_kinds, keep_owner=q.keep_owner
    )
    await _carry(call, transfer)


async def changes(engine: Engine, q: r.ContainerChanges, _call: Call) -> Any:
    return await engine.container_changes(q.tenant, q.ref)


async def export(engine: Engine, q: r.ExportContainer, call: Call) -> None:
    await _carry(call, await engine.export_container(q.tenant, q.ref))


async def commit(engine: Engine, q: r.CommitContainer, _call: Call) -> Image:
    return await engine.commit_container(
        q.tenant,
        q.ref,
        name=q.name,
        author=q.author,
        comment=q.comment,
        changes=q.changes,
        pause=q.pause,
    )


async def size(engine: Engine, q: r.ContainerSize, _call: Call) -> ContainerUsage:
    return await engine.container_size(q.tenant, q.ref)


async def prune_containers(engine: Engine, q: r.PruneContainers, _call: Call) -> Pruned:
    return await engine.prune_containers(q.tenant, q.wanted, dry_run=q.dry_run)


# images -----------------------------------------------------------------------------------


async def tag(engine: Engine, q: r.TagImage, _call: Call) -> Image:
    return await engine.tag_image(q.tenant, q.ref, q.name)


def history(engine: Engine, q: r.ImageHistory) -> Any:
    return engine.image_history(q.tenant, q.ref)


async def import_image(engine: Engine, q: r.ImportImage, call: Call) -> Any:
    transfer = await engine.import_image(
        q.tenant, q.name, changes=q.changes, comment=q.comment, platform=q.platform
    )
    return await _carry(call, transfer)


async def load(engine: Engine, q: r.LoadImages, call: Call) -> Any:
    return await _carry(call, await engine.load_images(q.tenant, progress=call.item))


async def save(engine: Engine, q: r.SaveImages, call: Call) -> None:
    await _carry(call, await engine.save_images(q.tenant, q.refs))


async def push(engine: Engine, q: r.PushImage, call: Call) -> Any:
    return await engine.push_image(q.tenant, q.ref, auth=q.auth, progress=call.item)


def names(engine: Engine, q: r.RepositoryNames) -> Any:
    return engine.repository_names(q.tenant, q.repository)


async def tags(engine: Engine, q: r.RepositoryTags, _call: Call) -> Any:
    return await engine.repository_tags(q.ref, auth=q.auth)


async def check_login(engine: Engine, q: r.CheckLogin, _call: Call) -> None:
    await engine.check_login(q.server, q.auth)


async def prune_images(engine: Engine, q: r.PruneImages, _call: Call) -> Pruned:
    return await engine.prune_images(q.tenant, q.wanted, everything=q.everything, dry_run=q.dry_run)


async def disk_usage(engine: Engine, q: r.DiskUsage, _call: Call) -> DiskUsage:
    return await engine.disk_usage(q.tenant)
