"""Images in docker's shapes, and which to list. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from corten.dockerapi import query
from corten.dockerapi.times import rfc3339
from corten.dockerapi.versions import Version
from corten.engine.types import Event, HistoryEntry, Image
from corten.errors import CortenError, InvalidArgument
from corten.spec import reference

FILTERS = ("before", "dangling", "label", "reference", "since", "until")
_OCI_CONFIG = (
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "ArgsEscaped",
    "Healthcheck",
    "OnBuild",
    "Shell",
)


def familiar(name: str) -> str:
    """A name as docker shows it: ``docker.io/library/redis:7`` is ``redis:7``."""
    try:
        return reference.parse(name).familiar
    except CortenError:  # shown as it is rather than not at all
        return name


def summary(image: Image, version: Version) -> dict[str, Any]:
    """One element of ``GET /images/json``."""
    tags, digests = _names(image, version)
    labels = (image.config.get("config") or {}).get("Labels") or None
    shown = {
        "Id": image.id,
        "ParentId": "",
        "RepoTags": tags,
        "RepoDigests": digests,
        "Created": image.created_at // 10**9,
        "Size": image.size,
        "SharedSize": -1,
        "Labels": labels,
        "Containers": -1,
    }
    return shown if version >= (1, 44) else shown | {"VirtualSize": image.size}


def document(image: Image, version: Version, *, snapshotter: str) -> dict[str, Any]:
    """``GET /images/{name}/json``."""
    config = image.config
    given = config.get("config") or {}
    shown: dict[str, Any] = {
        "Id": image.id,
        "RepoTags": [familiar(name) for name in image.tags],
        "RepoDigests": [familiar(name) for name in image.digests],
        "Comment": config.get("comment", ""),
        "Created": config.get("created") or rfc3339(image.created_at),
        "Author": config.get("author", ""),
        "Config": {name: given[name] for name in _OCI_CONFIG if given.get(name)},
        "Architecture": image.architecture,
        "Os": image.os,
        "Size": image.size,
        "GraphDriver": {"Name": snapshotter, "Data": None},
        "RootFS": {
            "Type": (config.get("rootfs") or {}).get("type") or "layers",
            "Layers": list(image.layers),
        },
        "Metadata": {"LastTagTime": rfc3339(0)},
    }
    if image.variant:
        shown["Variant"] = image.variant
    if version < (1, 50):
        shown["Config"] = _old_config(given)
    if version < (1, 44):
        shown |= {"VirtualSize": image.size}
    if version < (1, 45):
        shown |= {"Parent": "", "DockerVersion": "", "Container": ""}
    return shown


def step(entry: HistoryEntry) -> dict[str, Any]:
    """One element of ``GET /images/{name}/history``."""
    return {
        "Comment": entry.comment,
        "Created": entry.created // 10**9,
        "CreatedBy": entry.created_by,
        "Id": entry.id or "<missing>",
        "Size": entry.size,
        "Tags": [familiar(name) for name in entry.tags] or None,
    }


def new_name(repository: str, tag: str) -> str:
    """``repo`` and ``tag`` as one name.

    Raises:
        InvalidArgument: no name.
    """
    if not repository:
        raise InvalidArgument("repository name can't be empty")
    return f"{repository}:{tag}" if tag else repository


def select(
    images: Sequence[Image], wanted: query.Filters, resolve: Callable[[str], Image]
) -> list[Image]:
    """The images to list, newest first.

    Arguments:
        resolve: finds the image that ``before`` or ``since`` names; raises NotFound.
    Raises:
        InvalidArgument: a filter's value that can't be.
    """
    chosen = sorted(images, key=lambda image: image.created_at, reverse=True)
    for name in ("before", "since"):
        for value in wanted.get(name, ()):
            bound = resolve(value).created_at
            earlier = name == "before"
            chosen = [
                image
                for image in chosen
                if (image.created_at < bound if earlier else image.created_at > bound)
            ]
    for value in wanted.get("until", ()):
        bound = query.timestamp({"until": value}, "until")
        chosen = [image for image in chosen if image.created_at < bound]
    chosen = [image for image in chosen if _matches(image, wanted)]
    patterns = wanted.get("reference", ())
    return [_named_like(image, patterns) for image in chosen] if patterns else chosen


def removed(events: Sequence[Event]) -> list[dict[str, str]]:
    """``DELETE /images/{name}``'s answer, from what the engine did."""
    result = []
    for event in events:
        if event.action == "untag":
            result.append({"Untagged": familiar(event.attributes.get("name") or event.id)})
        elif event.action == "delete":
            result.append({"Deleted": event.attributes.get("name") or event.id})
    return result


def _names(image: Image, version: Version) -> tuple[list[str], list[str]]:
    tags = [familiar(name) for name in image.tags]
    digests = [familiar(name) for name in image.digests]
    if not tags and version < (1, 43):
        return ["<none>:<none>"], digests or ["<none>@<none>"]
    return tags, digests


def _old_config(given: dict[str, Any]) -> dict[str, Any]:
    """The container's configuration that images carried until 1.50."""
    empty: dict[str, Any] = {
        "Hostname": "",
        "Domainname": "",
        "User": "",
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": False,
        "OpenStdin": False,
        "StdinOnce": False,
        "Env": None,
        "Cmd": None,
        "Image": "",
        "Volumes": None,
        "WorkingDir": "",
        "Entrypoint": None,
        "OnBuild": None,
        "Labels": None,
    }
    return empty | {name: given[name] for name in _OCI_CONFIG if given.get(name)}


def _matches(image: Image, wanted: query.Filters) -> bool:
    if "dangling" in wanted:
        values = {query.flag({"dangling": value}, "dangling") for value in wanted["dangling"]}
        if (not image.tags) not in values:
            return False
    if "label" in wanted:
        labels = (image.config.get("config") or {}).get("Labels") or {}
        if not query.match_labels(wanted["label"], labels):
            return False
    if "reference" in wanted:
        names = [familiar(name) for name in (*image.tags, *image.digests)]
        return any(_match_name(pattern, name) for pattern in wanted["reference"] for name in names)
    return True


def _named_like(image: Image, patterns: Sequence[str]) -> Image:
    """An image with only the names that were asked for."""

    def keep(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(
            [name for name in names if any(_match_name(p, familiar(name)) for p in patterns)]
        )

    return msgspec.structs.replace(image, tags=keep(image.tags), digests=keep(image.digests))


def _match_name(pattern: str, name: str) -> bool:
    expression = _glob(familiar(pattern) if pattern.startswith("docker.io/") else pattern)
    bare = name.partition("@")[0]
    if ":" in bare.rpartition("/")[2]:
        bare = bare.rpartition(":")[0]
    return bool(expression.fullmatch(name) or expression.fullmatch(bare))


def _glob(pattern: str) -> re.Pattern[str]:
    """Go's path.Match: ``*`` and ``?`` stop at slashes, ``[…]`` is a class."""
    text = ""
    for piece in re.findall(r"\\.|\[\^?[^\]]*\]|.", pattern, re.DOTALL):
        if piece == "*":
            text += "[^/]*"
        elif piece == "?":
            text += "[^/]"
        elif piece.startswith("[") and len(piece) > 1:
            text += piece
        else:
            text += re.escape(piece.removeprefix("\\"))
    try:
        return re.compile(text)
    except re.error:
        raise InvalidArgument(f"invalid filter 'reference={pattern}'") from None
