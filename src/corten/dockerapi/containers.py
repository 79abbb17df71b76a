"""Containers: create, look at, change. What streams is in :mod:`.streaming`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from corten.dockerapi import create, inspect, processes, summary
from corten.dockerapi.call import TENANT, Call, empty, json
from corten.dockerapi.hostfacts import architecture
from corten.dockerapi.requests import CreateBody
from corten.engine.types import Container
from corten.errors import CortenError, FailedPrecondition, InvalidArgument, NotFound, Unimplemented


async def create_container(call: Call) -> web.Response:
    """``POST /containers/create``."""
    name = create.name(call.text("name"))
    body = await call.body(CreateBody)
    config, warnings = create.container(body)
    _check_platform(call, config.image)
    config = create.published(config, _exposed_by_image(call, config.image))
    record = await call.engine.create_container(
        TENANT, config, name=name, origin=create.origin(body)
    )
    return json({"Id": record.id, "Warnings": warnings}, 201)


def _exposed_by_image(call: Call, image: str) -> Iterable[str]:
    """The ports that the image exposes; without an image the engine says so itself."""
    try:
        found = call.engine.get_image(TENANT, image)
    except CortenError:
        return ()
    return (found.config.get("config") or {}).get("ExposedPorts") or ()


async def list_containers(call: Call) -> web.Response:
    """``GET /containers/json``."""
    chosen = summary.select(
        call.engine.list_containers(TENANT),
        call.filters(*summary.FILTERS),
        everything=call.flag("all"),
        limit=call.integer("limit") or 0,
        resolve=lambda ref: call.engine.get_image(TENANT, ref).id,
        labels=lambda record: _labels(call, record),
    )
    now = time.time_ns()
    shown = [summary.summary(record, _labels(call, record), now, call.version) for record in chosen]
    if call.flag("size"):
        shown = [one | await _sizes(call, one["Id"]) for one in shown]
    return json(shown)


async def inspect_container(call: Call) -> web.Response:
    """``GET /containers/{id}/json``."""
    record = call.engine.get_container(TENANT, call.params["id"])
    execs = [entry.id for entry in call.engine.list_execs(TENANT, record.id) if entry.running]

    def path(name: str) -> str:
        try:
            return call.engine.get_volume(TENANT, name).path
        except NotFound:
            return ""

    shown = inspect.container(record, _image(call, record), execs, call.version, path)
    if call.flag("size"):
        shown |= await _sizes(call, record.id)
    return json(shown)


async def _sizes(call: Call, container_id: str) -> dict[str, int]:
    try:
        found = await call.engine.container_size(TENANT, container_id)
    except NotFound:  # removed meanwhile
        return {}
    return {"SizeRw": found.writable, "SizeRootFs": found.root}


async def start(call: Call) -> web.Response:
    """``POST /containers/{id}/start``."""
    await call.engine.start_container(TENANT, call.params["id"])
    return empty()


async def stop(call: Call) -> web.Response:
    """``POST /containers/{id}/stop``: ``t`` seconds, then it is killed."""
    await call.engine.stop_container(
        TENANT, call.params["id"], timeout=_timeout(call), signal=call.text("signal")
    )
    return empty()


async def restart(call: Call) -> web.Response:
    """``POST /containers/{id}/restart``."""
    await call.engine.restart_container(
        TENANT, call.params["id"], timeout=_timeout(call), signal=call.text("signal")
    )
    return empty()


async def kill(call: Call) -> web.Response:
    """``POST /containers/{id}/kill``."""
    await call.engine.kill_container(
        TENANT, call.params["id"], signal=call.text("signal") or "KILL"
    )
    return empty()


async def pause(call: Call) -> web.Response:
    """``POST /containers/{id}/pause``."""
    await call.engine.pause_container(TENANT, call.params["id"])
    return empty()


async def unpause(call: Call) -> web.Response:
    """``POST /containers/{id}/unpause``."""
    await call.engine.unpause_container(TENANT, call.params["id"])
    return empty()


async def remove(call: Call) -> web.Response:
    """``DELETE /containers/{id}``."""
    if call.flag("link"):
        raise Unimplemented("removing a link is not implemented by corten yet")
    await call.engine.remove_container(
        TENANT, call.params["id"], force=call.flag("force"), volumes=call.flag("v")
    )
    return empty()


async def resize(call: Call) -> web.Response:
    """``POST /containers/{id}/resize``."""
    rows, cols = size(call)
    await call.engine.resize_container(TENANT, call.params["id"], rows, cols)
    return empty(200)


async def top(call: Call) -> web.Response:
    """``GET /containers/{id}/top``: its processes, in ``ps``'s columns."""
    record = call.engine.get_container(TENANT, call.params["id"])
    if record.state.status not in ("running", "paused"):
        raise FailedPrecondition(f"container {record.id} is not running")
    arguments = call.text("ps_args") or "-ef"
    pids = await call.engine.top_container(TENANT, record.id)
    if arguments != "-ef":
        titles, rows = await processes.by_ps(arguments.split(), pids)
        return json({"Titles": titles, "Processes": rows})
    return json({"Titles": processes.TITLES, "Processes": processes.table(pids)})


def size(call: Call) -> tuple[int, int]:
    """``h`` and ``w`` of a resize.

    Raises:
        InvalidArgument: one is missing, or not a terminal's size.
    """
    rows, cols = call.integer("h"), call.integer("w")
    for name, value in (("h", rows), ("w", cols)):
        if value is None or not 0 <= value < 1 << 16:
            raise InvalidArgument(f"invalid resize {name}: {call.text(name)!r}")
    assert rows is not None and cols is not None
    return rows, cols


def _timeout(call: Call) -> float | None:
    seconds = call.integer("t")
    return None if seconds is None else float(seconds)


def _image(call: Call, record: Container) -> dict[str, Any]:
    try:
        return call.engine.get_image(TENANT, record.image_id).config
    except NotFound:  # removed by force while the container stays
        return {}


def _labels(call: Call, record: Container) -> dict[str, str]:
    image = _image(call, record).get("config") or {}
    return {**(image.get("Labels") or {}), **record.config.labels}


def _check_platform(call: Call, image: str) -> None:
    wanted = call.text("platform")
    if not wanted:
        return
    system, _, rest = wanted.partition("/")
    found = call.engine.get_image(TENANT, image)
    arch = rest.partition("/")[0] or architecture()
    if (system, arch) != (found.os, found.architecture):
        raise NotFound(
            f"image with reference {image} was found but does not match the specified platform: "
            f"wanted {wanted}, actual: {found.os}/{found.architecture}"
        )
