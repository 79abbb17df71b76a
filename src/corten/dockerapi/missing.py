"""Endpoints of the standard that are not there yet: each answers 501 and names itself."""

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
    ("GET", "/distribution/{name*}/json", "asking a registry about an image"),
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

_SWARM = (
    ("GET", "/swarm"),
    *(("POST", f"/swarm/{verb}") for verb in ("init", "join", "leave", "unlock", "update")),
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


def missing_routes() -> list[tuple[str, str, _Missing]]:
    """Routes for all of it."""
    swarm = [(method, pattern, _Missing("swarm mode")) for method, pattern in _SWARM]
    return [(method, pattern, _Missing(what)) for method, pattern, what in MISSING] + swarm


class _Missing:
    """The handler of one missing thing."""

    def __init__(self, what: str) -> None:
        self._what = what

    async def __call__(self, call: Call) -> web.Response:
        asked = f"{call.request.method} {call.request.path}"
        return failure(501, f"{self._what} is not implemented by corten yet ({asked})")
