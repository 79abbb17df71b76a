"""Image names: as people type them, as registries know them."""

from __future__ import annotations

_HUB = "docker.io"


def canonical(ref: str) -> str:
    """``redis`` to ``docker.io/library/redis:latest``; a digest stays."""
    name, at, digest = ref.partition("@")
    host, slash, rest = name.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, rest = _HUB, name
    if host in (_HUB, "index.docker.io"):
        host = _HUB
        if "/" not in rest:
            rest = f"library/{rest}"
    if not at and ":" not in rest.rsplit("/", 1)[-1]:
        rest += ":latest"
    return f"{host}/{rest}{at}{digest}"


def familiar(name: str) -> str:
    """The shortest form of a canonical name."""
    name = name.removeprefix(_HUB + "/")
    return name.removeprefix("library/")


def split(name: str) -> tuple[str, str]:
    """Repository and tag of a name with a tag."""
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "<none>")


def registry(name: str) -> str:
    """The registry's host of a canonical name."""
    return name.partition("/")[0]
