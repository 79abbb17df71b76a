"""Images: list, inspect, name, remove."""

from __future__ import annotations

from aiohttp import web

from corten.dockerapi import imageview
from corten.dockerapi.call import TENANT, Call, empty, json
from corten.errors import Unimplemented


async def list_images(call: Call) -> web.Response:
    """``GET /images/json``."""
    chosen = imageview.select(
        call.engine.list_images(TENANT),
        call.filters(*imageview.FILTERS),
        lambda ref: call.engine.get_image(TENANT, ref),
    )
    return json([imageview.summary(image, call.version) for image in chosen])


async def inspect_image(call: Call) -> web.Response:
    """``GET /images/{name}/json``."""
    for option in ("manifests", "platform"):
        if call.text(option):
            raise Unimplemented(f"{option} of an image is not implemented by corten yet")
    image = call.engine.get_image(TENANT, call.params["name"])
    snapshotter = str(call.engine.info().get("snapshotter", "overlay"))
    return json(imageview.document(image, call.version, snapshotter=snapshotter))


async def history(call: Call) -> web.Response:
    """``GET /images/{name}/history``."""
    steps = call.engine.image_history(TENANT, call.params["name"])
    return json([imageview.step(step) for step in steps])


async def tag(call: Call) -> web.Response:
    """``POST /images/{name}/tag``."""
    name = imageview.new_name(call.text("repo"), call.text("tag"))
    await call.engine.tag_image(TENANT, call.params["name"], name)
    return empty(201)


async def remove_image(call: Call) -> web.Response:
    """``DELETE /images/{name}``."""
    if call.text("platforms"):
        raise Unimplemented("removing one platform is not implemented by corten yet")
    events = await call.engine.remove_image(TENANT, call.params["name"], force=call.flag("force"))
    return json(imageview.removed(events))
