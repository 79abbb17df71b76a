"""The table of everything that is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from corten.dockerapi import (
    archive,
    changes,
    containers,
    events,
    exchange,
    execs,
    images,
    networks,
    prune,
    stats,
    streaming,
    system,
    volumes,
)
from corten.dockerapi.call import Call
from corten.dockerapi.missing import missing_routes
from corten.dockerapi.router import Router

Handler = Callable[[Call], Awaitable[web.StreamResponse]]

ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", "/_ping", system.ping),
    ("HEAD", "/_ping", system.ping),
    ("GET", "/version", system.version),
    ("GET", "/info", system.info),
    ("POST", "/auth", system.auth),
    ("GET", "/events", events.events),
    # containers
    ("POST", "/containers/create", containers.create_container),
    ("GET", "/containers/json", containers.list_containers),
    ("GET", "/containers/{id}/json", containers.inspect_container),
    ("GET", "/containers/{id}/top", containers.top),
    ("GET", "/containers/{id}/logs", streaming.logs),
    ("GET", "/containers/{id}/stats", stats.stats),
    ("POST", "/containers/{id}/update", changes.update),
    ("POST", "/containers/{id}/rename", changes.rename),
    ("POST", "/containers/{id}/start", containers.start),
    ("POST", "/containers/{id}/stop", containers.stop),
    ("POST", "/containers/{id}/restart", containers.restart),
    ("POST", "/containers/{id}/kill", containers.kill),
    ("POST", "/containers/{id}/pause", containers.pause),
    ("POST", "/containers/{id}/unpause", containers.unpause),
    ("POST", "/containers/{id}/resize", containers.resize),
    ("POST", "/containers/{id}/attach", streaming.attach),
    ("POST", "/containers/{id}/wait", streaming.wait),
    ("POST", "/containers/{id}/exec", execs.create_exec),
    ("DELETE", "/containers/{id}", containers.remove),
    ("POST", "/containers/prune", prune.containers),
    ("HEAD", "/containers/{id}/archive", archive.stat),
    ("GET", "/containers/{id}/archive", archive.get),
    ("PUT", "/containers/{id}/archive", archive.put),
    ("GET", "/containers/{id}/changes", archive.changes),
    ("GET", "/containers/{id}/export", archive.export),
    ("POST", "/commit", archive.commit),
    # execs
    ("POST", "/exec/{id}/start", execs.start_exec),
    ("POST", "/exec/{id}/resize", execs.resize_exec),
    ("GET", "/exec/{id}/json", execs.inspect_exec),
    # images
    ("GET", "/images/json", images.list_images),
    ("POST", "/images/create", exchange.create_image),
    ("POST", "/images/load", exchange.load),
    ("GET", "/images/get", exchange.save_several),
    ("POST", "/images/prune", prune.images),
    ("GET", "/images/{name*}/get", exchange.save_one),
    ("GET", "/images/{name*}/history", images.history),
    ("POST", "/images/{name*}/tag", images.tag),
    ("POST", "/images/{name*}/push", exchange.push),
    ("GET", "/distribution/{name*}/json", exchange.distribution),
    ("GET", "/images/{name*}/json", images.inspect_image),
    ("DELETE", "/images/{name*}", images.remove_image),
    ("GET", "/system/df", prune.usage),
    ("POST", "/build/prune", prune.build_cache),
    # volumes
    ("GET", "/volumes", volumes.list_volumes),
    ("GET", "/volumes/{name}", volumes.inspect_volume),
    ("POST", "/volumes/create", volumes.create_volume),
    ("POST", "/volumes/prune", volumes.prune_volumes),
    ("DELETE", "/volumes/{name}", volumes.remove_volume),
    # networks
    ("GET", "/networks", networks.list_networks),
    ("POST", "/networks/create", networks.create_network),
    ("POST", "/networks/prune", networks.prune_networks),
    ("GET", "/networks/{id}", networks.inspect_network),
    ("DELETE", "/networks/{id}", networks.remove_network),
    ("POST", "/networks/{id}/connect", networks.connect),
    ("POST", "/networks/{id}/disconnect", networks.disconnect),
    # what there is none of
    ("GET", "/plugins", system.plugins),
    ("GET", "/plugins/{name*}/json", networks.no_plugin),
]

ROUTER: Router[Handler] = Router([*missing_routes(), *ROUTES])
