"""``GET /events``: the engine's events in docker's shape."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from corten.dockerapi import query
from corten.dockerapi.batch import Batch
from corten.dockerapi.call import TENANT, Call, json
from corten.engine.closing import closing
from corten.engine.types import Event

_FILTERS = (
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
)
_DOCKER_TYPES = ("container", "image", "network", "volume", "daemon", "plugin")


async def events(call: Call) -> web.StreamResponse:
    """Past events from ``since`` on, then new ones, until ``until``."""
    wanted = call.filters(*_FILTERS)
    since, until = call.timestamp("since"), call.timestamp("until")
    source = call.engine.events(TENANT, since=since or None, until=until or None)
    first = asyncio.ensure_future(anext(source, None))  # subscribed before the head goes out
    await asyncio.sleep(0)
    try:
        response = await call.stream("application/json")
        async with Batch(response) as batch:
            event = await first
            while event is not None:
                shown = document(event, old=not call.since(52))
                if shown is not None and matches(shown, wanted):
                    await batch.add(bytes(json(shown).body or b""))  # type: ignore[arg-type]
                event = await anext(source, None)
    finally:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        async with closing(source):
            pass
    await response.write_eof()
    return response


def document(event: Event, *, old: bool) -> dict[str, Any] | None:
    """The event as docker's clients know it; ``None`` for what docker has no word for.

    Arguments:
        old: with the fields that 1.52 took away. No I/O.
    """
    if event.type not in _DOCKER_TYPES:
        return None
    shown: dict[str, Any] = {}
    if old:
        shown = {"status": event.action, "id": event.id}
        if event.type == "container" and "image" in event.attributes:
            shown["from"] = event.attributes["image"]
    return shown | {
        "Type": event.type,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": event.attributes},
        "scope": "local",
        "time": event.time // 10**9,
        "timeNano": event.time,
    }


def matches(shown: dict[str, Any], wanted: query.Filters) -> bool:
    """Whether an event passes the filters; the values of one filter are alternatives. No I/O."""
    kind, action, actor = shown["Type"], shown["Action"], shown["Actor"]
    attributes: dict[str, str] = actor["Attributes"]
    for name, values in wanted.items():
        if name == "type":
            passed = kind in values
        elif name == "event":
            passed = any(action == value or action.startswith(f"{value}:") for value in values)
        elif name == "label":
            passed = query.match_labels(values, attributes)
        elif name == "scope":
            passed = "local" in values
        elif name == "image":
            passed = _image(kind, actor, values)
        elif name == "volume":
            passed = kind == "volume" and actor["ID"] in values
        else:
            names = (attributes.get("name", ""), attributes.get(name, ""))
            passed = kind == name and any(
                value in names or actor["ID"].startswith(value) for value in values
            )
        if not passed:
            return False
    return True


def _image(kind: str, actor: dict[str, Any], values: list[str]) -> bool:
    attributes: dict[str, str] = actor["Attributes"]
    key = "name" if kind == "image" else "image"
    name = attributes.get(key, "")
    bare = name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name
    return any(value in (name, bare, actor["ID"]) for value in values)
