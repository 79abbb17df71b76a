"""Space: ``system/df``, and what gives it back."""

from __future__ import annotations

import re
import time
from typing import Any

from aiohttp import web

from corten.dockerapi import imageview, query, summary, volumes
from corten.dockerapi.call import TENANT, Call, json
from corten.engine.types import Container, Pruned, PruneFilter, Volume
from corten.errors import CortenError, InvalidArgument, NotFound

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_AGO = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")


async def usage(call: Call) -> web.Response:
    """``GET /system/df``."""
    found = await call.engine.disk_usage(TENANT)
    now = time.time_ns()
    images = {one.id: one for one in found.images}
    containers = []
    for one in found.containers:
        try:
            record = call.engine.get_container(TENANT, one.id)
        except NotFound:
            continue
        shown = summary.summary(record, _labels(call, record), now)
        containers.append(shown | {"SizeRw": one.writable, "SizeRootFs": one.root})
    return json(
        {
            "LayersSize": found.layers,
            "Images": [
                imageview.summary(image, call.version)
                | {"SharedSize": images[image.id].shared, "Containers": images[image.id].containers}
                for image in call.engine.list_images(TENANT)
                if image.id in images
            ],
            "Containers": containers,
            "Volumes": [await _volume(call, one) for one in call.engine.list_volumes(TENANT)],
            "BuildCache": [],
            "BuilderSize": 0,
        }
    )


async def _volume(call: Call, record: Volume) -> dict[str, Any]:
    try:
        size = await call.engine.volume_size(TENANT, record.name)
    except CortenError:  # removed meanwhile, or not to be measured
        size = -1
    counted = {"RefCount": len(record.used_by), "Size": size}
    return volumes.volume(record, call) | {"UsageData": counted}


def _labels(call: Call, record: Container) -> dict[str, str]:
    return dict(record.config.labels)


async def images(call: Call) -> web.Response:
    """``POST /images/prune``."""
    wanted = call.filters("dangling", "until", "label", "label!")
    dangling = wanted.pop("dangling", ["true"])
    done = await call.engine.prune_images(
        TENANT,
        prune_filter(wanted),
        everything=not query.flag({"dangling": dangling[0]}, "dangling"),
    )
    return json({"ImagesDeleted": _deleted(done) or None, "SpaceReclaimed": done.space})


def _deleted(done: Pruned) -> list[dict[str, str]]:
    return [
        {"Untagged": imageview.familiar(name)} if action == "untag" else {"Deleted": name}
        for action, name in done.removed
    ]


async def containers(call: Call) -> web.Response:
    """``POST /containers/prune``."""
    wanted = prune_filter(call.filters("until", "label", "label!"))
    done = await call.engine.prune_containers(TENANT, wanted)
    ids = [name for _, name in done.removed]
    return json({"ContainersDeleted": ids or None, "SpaceReclaimed": done.space})


async def build_cache(call: Call) -> web.Response:
    """``POST /build/prune``: nothing is built here, so nothing is kept of it."""
    return json({"CachesDeleted": None, "SpaceReclaimed": 0})


def prune_filter(wanted: query.Filters) -> PruneFilter:
    """The filters of a prune.

    Raises:
        InvalidArgument: a time that is none.
    """
    until = wanted.get("until", [])
    if len(until) > 1:
        raise InvalidArgument("more than one until filter specified")
    bound = 0
    if until:
        bound = _until(until[0])
    return PruneFilter(
        until=bound,
        labels=tuple(wanted.get("label", ())),
        without=tuple(wanted.get("label!", ())),
    )


def _until(text: str) -> int:
    """A time, or how long ago (``24h``)."""
    parts = _AGO.findall(text)
    if parts and "".join([f"{number}{unit}" for number, unit in parts]) == text:
        seconds = sum([float(number) * _UNITS[unit] for number, unit in parts])
        return time.time_ns() - int(seconds * 10**9)
    return query.timestamp({"until": text}, "until")
