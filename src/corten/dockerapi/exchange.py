"""Images to and from archives and registries: ``load``, ``get``, ``import``, ``push``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from corten.dockerapi import imageview, pull, transfers
from corten.dockerapi.call import TENANT, Call, fault, json
from corten.engine.types import Auth, Progress
from corten.errors import CortenError, InvalidArgument, NotFound, Unimplemented
from corten.spec import reference
from corten.spec.platform import Platform

JSON = "application/json"


async def create_image(call: Call) -> web.StreamResponse:
    """``POST /images/create``: a pull, or an import."""
    if call.text("fromSrc"):
        return await import_image(call)
    return await pull.create_image(call)


async def import_image(call: Call) -> web.StreamResponse:
    """An image of a file system's archive, which is the body."""
    if call.text("fromSrc") != "-":
        raise Unimplemented(
            "importing from a URL (fromSrc) is not implemented by corten",
            hint="fetch it and give it to: docker import -",
        )
    name = ""
    if call.text("repo"):
        name = imageview.new_name(call.text("repo"), call.text("tag"))
    transfer = await call.engine.import_image(
        TENANT,
        name,
        changes=call.request.query.getall("changes", []),
        comment=call.text("message"),
        platform=call.text("platform"),
    )
    async with transfer:
        made = await transfers.receive(call, transfer)
    response = await call.stream(JSON)
    await response.write(pull.line({"status": made.id}))
    await response.write_eof()
    return response


async def load(call: Call) -> web.StreamResponse:
    """``POST /images/load``."""
    queue = pull.Queue()
    quiet = call.flag("quiet", True)
    async with await call.engine.load_images(TENANT, progress=queue.put) as transfer:
        loading = asyncio.ensure_future(transfers.receive(call, transfer))
        loading.add_done_callback(lambda _: queue.close())
        try:
            first = await queue.get()
            response = await call.stream(JSON)
            while first is not None:
                if not quiet and first.status == "Extracting":
                    await response.write(pull.line(pull.message(_loading(first))))
                first = await queue.get()
            try:
                for one in await loading:
                    for text in _loaded(one.id, one.names):
                        await response.write(pull.line({"stream": f"{text}\n"}))
            except CortenError as error:
                await response.write(pull.line(fault(error)))
        finally:
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
    await response.write_eof()
    return response


def _loading(step: Progress) -> Progress:
    return Progress(id=step.id, status="Loading layer", current=step.current, total=step.total)


def _loaded(image_id: str, names: Sequence[str]) -> list[str]:
    if not names:
        return [f"Loaded image ID: {image_id}"]
    return [f"Loaded image: {imageview.familiar(name)}" for name in names]


async def save_one(call: Call) -> web.StreamResponse:
    """``GET /images/{name}/get``."""
    return await _save(call, [call.params["name"]])


async def save_several(call: Call) -> web.StreamResponse:
    """``GET /images/get``."""
    return await _save(call, call.request.query.getall("names", []))


async def _save(call: Call, names: Sequence[str]) -> web.StreamResponse:
    if not names:
        raise InvalidArgument("no image is named")
    async with await call.engine.save_images(TENANT, names) as transfer:
        return await transfers.send(call, transfer)


async def distribution(call: Call) -> web.Response:
    """``GET /distribution/{name}/json``: what a registry has, nothing of it is fetched."""
    known = pull.auth(call.request.headers.get("X-Registry-Auth", ""))
    name = str(reference.parse(call.params["name"]))
    found, platforms = await call.engine.remote_image(TENANT, name, auth=known)
    return json(
        {
            "Descriptor": {
                "mediaType": found.media_type,
                "digest": str(found.digest),
                "size": found.size,
            },
            "Platforms": [_platform(one) for one in platforms],
        }
    )


def _platform(platform: Platform) -> dict[str, str]:
    shown = {"architecture": platform.architecture, "os": platform.os}
    return shown | ({"variant": platform.variant} if platform.variant else {})


async def push(call: Call) -> web.StreamResponse:
    """``POST /images/{name}/push``: one tag, or without one all of the repository's."""
    known = pull.auth(call.request.headers.get("X-Registry-Auth", ""))
    names = _names(call)
    queue = pull.Queue()
    pushing = asyncio.ensure_future(_push(call, names, known, queue))
    pushing.add_done_callback(lambda _: queue.close())
    first = await queue.get()
    if first is None and pushing.exception() is not None:
        pushing.result()  # raises
    response = await call.stream(JSON)
    while first is not None:
        await response.write(pull.line(pull.message(first)))
        first = await queue.get()
    try:
        for one in await pushing:
            aux = {"Tag": one.tag, "Digest": one.digest, "Size": one.size}
            await response.write(pull.line({"progressDetail": {}, "aux": aux}))
    except CortenError as error:
        await response.write(pull.line(fault(error)))
    await response.write_eof()
    return response


def _names(call: Call) -> Sequence[str]:
    repository = reference.parse(call.params["name"]).repository
    if call.text("tag"):
        return [f"{repository}:{call.text('tag')}"]
    names = call.engine.repository_names(TENANT, repository)
    if not names:
        shown = reference.parse(repository).familiar_repository
        raise NotFound(f"An image does not exist locally with the tag: {shown}")
    return names


async def _push(
    call: Call, names: Sequence[str], known: Auth | None, queue: pull.Queue
) -> list[Any]:
    return [
        await call.engine.push_image(TENANT, name, auth=known, progress=queue.put) for name in names
    ]
