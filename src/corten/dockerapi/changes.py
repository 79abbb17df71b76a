"""``POST /containers/{id}/update`` and ``rename``."""

from __future__ import annotations

from aiohttp import web

from corten.dockerapi import limits
from corten.dockerapi.call import TENANT, Call, empty, json
from corten.dockerapi.requests import HostConfig
from corten.engine.types import Changes, Resources, RestartPolicy


async def update(call: Call) -> web.Response:
    """Limits, and the restart policy; what is 0 or missing stays."""
    body = await call.body(HostConfig)
    wanted = limits.resources(body, default_swap=False)
    policy = body.restart_policy
    restart = None
    if policy is not None and policy.name:
        restart = RestartPolicy(
            name=policy.name, maximum_retry_count=policy.maximum_retry_count or 0
        )
    changes = Changes(resources=None if wanted == Resources() else wanted, restart=restart)
    await call.engine.update_container(TENANT, call.params["id"], changes)
    return json({"Warnings": None})


async def rename(call: Call) -> web.Response:
    """``name``: the new one."""
    await call.engine.rename_container(TENANT, call.params["id"], call.text("name"))
    return empty()
