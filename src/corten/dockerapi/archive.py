"""Containers' files: ``archive``, ``changes``, ``export``, ``commit``."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from aiohttp import web

from corten.dockerapi import imageview, transfers
from corten.dockerapi.call import TENANT, Call, json
from corten.dockerapi.times import rfc3339
from corten.errors import InvalidArgument, NotFound

_STAT = "X-Docker-Container-Path-Stat"
# Members of a container's configuration that an image has too.
_CONFIG = (
    "Cmd",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Healthcheck",
    "Labels",
    "OnBuild",
    "StopSignal",
    "User",
    "Volumes",
    "WorkingDir",
)


async def stat(call: Call) -> web.Response:
    """``HEAD /containers/{id}/archive``."""
    try:
        found = await call.engine.stat_path(TENANT, call.params["id"], _path(call))
    except NotFound as error:
        raise _named(call, error) from None
    return web.Response(headers={_STAT: _header(found)})


async def get(call: Call) -> web.StreamResponse:
    """``GET /containers/{id}/archive``."""
    try:
        transfer = await call.engine.copy_out(TENANT, call.params["id"], _path(call))
    except NotFound as error:
        raise _named(call, error) from None
    async with transfer:
        return await transfers.send(call, transfer, {_STAT: _header(transfer.stat)})


async def put(call: Call) -> web.Response:
    """``PUT /containers/{id}/archive``."""
    transfer = await call.engine.copy_in(
        TENANT,
        call.params["id"],
        _path(call),
        keep_kinds=call.flag("noOverwriteDirNonDir"),
        keep_owner=call.flag("copyUIDGID"),
    )
    async with transfer:
        try:
            await transfers.receive(call, transfer)
        except NotFound as error:
            raise _named(call, error) from None
    return web.Response(status=200)


async def changes(call: Call) -> web.Response:
    """``GET /containers/{id}/changes``."""
    found = await call.engine.container_changes(TENANT, call.params["id"])
    return json([{"Path": one.path, "Kind": one.kind} for one in found] or None)


async def export(call: Call) -> web.StreamResponse:
    """``GET /containers/{id}/export``."""
    async with await call.engine.export_container(TENANT, call.params["id"]) as transfer:
        return await transfers.send(call, transfer)


async def commit(call: Call) -> web.Response:
    """``POST /commit``."""
    body = await call.request.read()
    given: Any = None
    if body.strip():
        try:
            given = msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise InvalidArgument(f"invalid JSON: {error}") from None
    config = given if isinstance(given, dict) else {}
    name = imageview.new_name(call.text("repo"), call.text("tag")) if call.text("repo") else ""
    made = await call.engine.commit_container(
        TENANT,
        call.text("container"),
        name=name,
        author=call.text("author"),
        comment=call.text("comment"),
        changes=[
            line
            for text in call.request.query.getall("changes", [])
            for line in text.splitlines()
            if line.strip()
        ],
        config={key: config[key] for key in _CONFIG if config.get(key)},
        pause=call.flag("pause", True),
    )
    return json({"Id": made.id}, 201)


def _path(call: Call) -> str:
    path = call.text("path")
    if not path:
        raise InvalidArgument("bad parameter: path cannot be empty")
    if "\0" in path:
        raise InvalidArgument("bad parameter: path has a zero byte")
    return path


def _named(call: Call, error: NotFound) -> NotFound:
    if not error.message.startswith("Could not find the file"):
        return error
    return NotFound(f"{error.message} in container {call.params['id']}")


def _header(found: Any) -> str:
    document = {
        "name": found.name,
        "size": found.size,
        "mode": found.mode,
        "mtime": rfc3339(found.mtime),
        "linkTarget": found.link_target,
    }
    return base64.b64encode(msgspec.json.encode(document)).decode()
