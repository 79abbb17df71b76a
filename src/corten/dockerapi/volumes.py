"""Volumes: create, list, inspect, remove, prune."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from corten.dockerapi import query
from corten.dockerapi.call import TENANT, Call, empty, json
from corten.dockerapi.requests import VolumeBody
from corten.dockerapi.times import seconds
from corten.engine.types import Volume
from corten.errors import InvalidArgument

ANONYMOUS = "com.docker.volume.anonymous"  # a label that dockerd gives such volumes
_FILTERS = ("dangling", "driver", "label", "name")
_TRUE, _FALSE = ("1", "true"), ("0", "false")


async def create_volume(call: Call) -> web.Response:
    """``POST /volumes/create``."""
    body = await call.body(VolumeBody)
    record = await call.engine.create_volume(
        TENANT,
        body.name or "",
        driver=body.driver or "",
        options=body.driver_opts or {},
        labels=body.labels or {},
    )
    return json(volume(record, call), 201)


async def list_volumes(call: Call) -> web.Response:
    """``GET /volumes``."""
    chosen = select(call.engine.list_volumes(TENANT), call.filters(*_FILTERS), call)
    return json({"Volumes": [volume(record, call) for record in chosen], "Warnings": None})


async def inspect_volume(call: Call) -> web.Response:
    """``GET /volumes/{name}``."""
    return json(volume(call.engine.get_volume(TENANT, call.params["name"]), call))


async def remove_volume(call: Call) -> web.Response:
    """``DELETE /volumes/{name}``."""
    await call.engine.remove_volume(TENANT, call.params["name"], force=call.flag("force"))
    return empty()


async def prune_volumes(call: Call) -> web.Response:
    """``POST /volumes/prune``: since 1.42 only anonymous ones, unless ``all`` is asked for."""
    wanted = call.filters("all", "label", "label!")
    everything = not call.since(42) or _boolean("all", wanted.pop("all", ["false"]))
    chosen = [
        record
        for record in select(call.engine.list_volumes(TENANT), wanted, call)
        if everything or record.anonymous
    ]
    removed, freed = await call.engine.prune_volumes(TENANT, [one.name for one in chosen])
    return json({"VolumesDeleted": removed or None, "SpaceReclaimed": freed})


def volume(record: Volume, call: Call) -> dict[str, Any]:
    """``Volume`` in docker's shape. No I/O."""
    return {
        "CreatedAt": seconds(record.created_at),
        "Driver": record.driver,
        "Labels": labels(record, call),
        "Mountpoint": record.path,
        "Name": record.name,
        "Options": record.options,
        "Scope": "local",
    }


def labels(record: Volume, call: Call) -> dict[str, str] | None:
    """Its labels, with the one that newer clients know an anonymous one by."""
    if record.anonymous and call.since(42):
        return {**(record.labels or {}), ANONYMOUS: ""}
    return record.labels


def select(records: Sequence[Volume], wanted: query.Filters, call: Call) -> list[Volume]:
    """Those that pass the filters.

    Raises:
        InvalidArgument: a value that can't be.
    """
    tests = {
        "dangling": lambda one, values: bool(one.used_by) != _boolean("dangling", values),
        "driver": lambda one, values: one.driver in values,
        "label": lambda one, values: query.match_labels(values, labels(one, call) or {}),
        "label!": lambda one, values: not query.match_labels(values, labels(one, call) or {}),
        "name": lambda one, values: any(value in one.name for value in values),
    }
    return [
        one for one in records if all(tests[name](one, values) for name, values in wanted.items())
    ]


def _boolean(name: str, values: Sequence[str]) -> bool:
    for value in values:
        if value.lower() not in (*_TRUE, *_FALSE):
            raise InvalidArgument(f"invalid filter '{name}={value}'")
    return any(value.lower() in _TRUE for value in values)
