"""Requests about images, pods, events and the daemon itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import corten
from corten.api import requests as r
from corten.engine.closing import closing
from corten.spec import frames

if TYPE_CHECKING:
    from corten.api.connection import Call
    from corten.engine.contract import Engine
    from corten.engine.types import Image, Pod


def hello(_engine: Engine, _q: r.Hello) -> dict[str, Any]:
    return {"version": corten.__version__, "protocol": frames.VERSION}


def info(engine: Engine, _q: r.Info) -> dict[str, Any]:
    return engine.info()


async def events(engine: Engine, q: r.Events, call: Call) -> None:
    stream = engine.events(q.tenant, since=q.since, until=q.until, from_seq=q.from_seq)
    async with closing(stream) as found:
        async for event in found:
            call.item(event)
            await call.drain()


async def pull(engine: Engine, q: r.PullImage, call: Call) -> Image:
    return await engine.pull_image(
        q.tenant, q.ref, platform=q.platform, auth=q.auth, progress=call.item
    )


async def from_host(engine: Engine, q: r.ImageFromHost, _call: Call) -> Image:
    return await engine.image_from_host(q.tenant, q.tag, q.programs, cmd=q.cmd)


async def ensure_hello(engine: Engine, q: r.EnsureHello, _call: Call) -> Image:
    return await engine.ensure_hello(q.tenant)


def get_image(engine: Engine, q: r.GetImage) -> Image:
    return engine.get_image(q.tenant, q.ref)


def list_images(engine: Engine, q: r.ListImages) -> Any:
    return engine.list_images(q.tenant)


async def remove_image(engine: Engine, q: r.RemoveImage, _call: Call) -> Any:
    return await engine.remove_image(q.tenant, q.ref, force=q.force)


async def create_network(engine: Engine, q: r.CreateNetwork, _call: Call) -> Any:
    return await engine.create_network(q.tenant, q.spec)


def get_network(engine: Engine, q: r.GetNetwork) -> Any:
    return engine.get_network(q.tenant, q.ref)


def list_networks(engine: Engine, q: r.ListNetworks) -> Any:
    return engine.list_networks(q.tenant)


async def remove_network(engine: Engine, q: r.RemoveNetwork, _call: Call) -> Any:
    return await engine.remove_network(q.tenant, q.ref)


async def connect_network(engine: Engine, q: r.ConnectNetwork, _call: Call) -> None:
    await engine.connect_network(q.tenant, q.ref, q.request)


async def disconnect_network(engine: Engine, q: r.DisconnectNetwork, _call: Call) -> None:
    await engine.disconnect_network(q.tenant, q.ref, q.network, force=q.force)


async def explain_network(engine: Engine, q: r.ExplainNetwork, _call: Call) -> Any:
    return await engine.explain_network(q.tenant, q.src, q.dst, port=q.port, protocol=q.protocol)


async def explain(engine: Engine, q: r.Explain, _call: Call) -> Any:
    return await engine.explain(q.tenant, q.ref, kind=q.kind)


async def prune_networks(engine: Engine, q: r.PruneNetworks, _call: Call) -> Any:
    wanted = set(q.ids)
    return await engine.prune_networks(q.tenant, lambda network: network.id in wanted)


async def run_pod(engine: Engine, q: r.RunPod, _call: Call) -> Pod:
    return await engine.run_pod(q.tenant, q.config)


async def stop_pod(engine: Engine, q: r.StopPod, _call: Call) -> None:
    await engine.stop_pod(q.tenant, q.pod_id)


async def remove_pod(engine: Engine, q: r.RemovePod, _call: Call) -> None:
    await engine.remove_pod(q.tenant, q.pod_id)


def get_pod(engine: Engine, q: r.GetPod) -> Pod:
    return engine.get_pod(q.tenant, q.pod_id)


def list_pods(engine: Engine, q: r.ListPods) -> Any:
    return engine.list_pods(q.tenant)
