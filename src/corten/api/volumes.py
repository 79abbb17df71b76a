"""Requests about volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corten.api import requests as r

if TYPE_CHECKING:
    from corten.api.connection import Call
    from corten.engine.contract import Engine
    from corten.engine.types import Volume


async def create(engine: Engine, q: r.CreateVolume, _call: Call) -> Volume:
    return await engine.create_volume(
        q.tenant, q.name, driver=q.driver, options=q.options, labels=q.labels
    )


def get(engine: Engine, q: r.GetVolume) -> Volume:
    return engine.get_volume(q.tenant, q.name)


def list_all(engine: Engine, q: r.ListVolumes) -> Any:
    return engine.list_volumes(q.tenant)


async def remove(engine: Engine, q: r.RemoveVolume, _call: Call) -> None:
    await engine.remove_volume(q.tenant, q.name, force=q.force)


async def prune(engine: Engine, q: r.PruneVolumes, _call: Call) -> dict[str, Any]:
    removed, freed = await engine.prune_volumes(q.tenant, q.names)
    return {"removed": removed, "freed": freed}
