"""Endpoints of the standard that are not there yet: each answers 501 and names itself; those of
swarm mode answer as a dockerd does that is in no swarm."""

from __future__ import annotations

from aiohttp import web

from corten.dockerapi.call import Call, failure

# method, pattern, what it would do
MISSING = (
    ("GET", "/containers/{id}/attach/ws", "attaching over a WebSocket"),
    ("POST", "/build", "building images"),
    ("POST", "/build/cancel", "building images"),
    ("POST", "/session", "building images with BuildKit"),
    ("POST", "/grpc", "building images with BuildKit"),
    ("GET", "/images/search", "searching a registry"),
    ("GET", "/images/{name*}/attestations", "attestations of an image"),
    ("POST", "/swarm/init", "swarm mode"),
    ("POST", "/swarm/join", "swarm mode"),
    ("PUT", "/volumes/{name}", "cluster volumes"),
    ("GET", "/plugins/privileges", "plugins"),
    ("POST", "/plugins/pull", "plugins"),
    ("POST", "/plugins/create", "plugins"),
    ("POST", "/plugins/{name*}/enable", "plugins"),
    ("POST", "/plugins/{name*}/disable", "plugins"),
    ("POST", "/plugins/{name*}/upgrade", "plugins"),
    ("POST", "/plugins/{name*}/push", "plugins"),
    ("POST", "/plugins/{name*}/set", "plugins"),
    ("DELETE", "/plugins/{name*}", "plugins"),
)

# What dockerd answers where it is in no swarm: clients know it as an answer like any other.
_NO_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect '
    "this node to swarm and try again."
)
_NO_PART = "This node is not part of a swarm"

_SWARM = (
    ("GET", "/swarm"),
    *(("POST", f"/swarm/{verb}") for verb in ("unlock", "update")),
    ("GET", "/swarm/unlockkey"),
    ("GET", "/tasks"),
    ("GET", "/tasks/{id}"),
    ("GET", "/tasks/{id}/logs"),
    ("GET", "/services/{id}/logs"),
    *(
        (method, f"/{kind}{tail}")
        for kind in ("services", "secrets", "configs", "nodes")
        for method, tail in (
            ("GET", ""),
            ("POST", "/create"),
            ("GET", "/{id}"),
            ("DELETE", "/{id}"),
            ("POST", "/{id}/update"),
        )
        if (kind, tail) != ("nodes", "/create")
    ),
)


def missing_routes() -> list[tuple[str, str, _Missing | _Unavailable]]:
    """Routes for all of it."""
    return [
        *((method, pattern, _Missing(what)) for method, pattern, what in MISSING),
        *((method, pattern, _Unavailable(_NO_MANAGER)) for method, pattern in _SWARM),
        ("POST", "/swarm/leave", _Unavailable(_NO_PART)),
    ]


class _Missing:
    """The handler of one missing thing."""

    def __init__(self, what: str) -> None:
        self._what = what

    async def __call__(self, call: Call) -> web.Response:
        asked = f"{call.request.method} {call.request.path}"
        return failure(501, f"{self._what} is not implemented by corten yet ({asked})")


class _Unavailable:
    """The handler of what is there only in a swarm."""

    def __init__(self, why: str) -> None:
        self._why = why

    async def __call__(self, _call: Call) -> web.Response:
        return failure(503, self._why)
