"""``--filter KEY=VALUE``: values of one key are alternatives, keys must all hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from corten.cli.names import canonical
from corten.cli.views import status_of
from corten.errors import InvalidArgument

Record = Mapping[str, Any]
Test = Callable[[Record, str], bool]


def parse(entries: Iterable[str], known: Iterable[str]) -> dict[str, list[str]]:
    """``{"status": ["running"]}``. Raises InvalidArgument: unknown key, or no value."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        key, equals, value = entry.partition("=")
        if not equals:
            raise InvalidArgument(f"invalid filter {entry!r}", hint="--filter KEY=VALUE")
        if key not in known:
            raise InvalidArgument(
                f"invalid filter {key!r}", hint=f"there are {', '.join(sorted(known))}"
            )
        found.setdefault(key, []).append(value)
    return found


def select(
    records: Sequence[Record], filters: Mapping[str, Sequence[str]], tests: Mapping[str, Test]
) -> list[Record]:
    """The records for which, of every key, one value holds; all of a label's must hold."""
    return [
        record
        for record in records
        if all(
            (all if key == "label" else any)(tests[key](record, value) for value in values)
            for key, values in filters.items()
        )
    ]


def label(labels: Mapping[str, str], wanted: str) -> bool:
    """``KEY`` or ``KEY=VALUE``."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def _network(record: Record, wanted: str) -> bool:
    return any(
        wanted in (end["network"], end.get("network_id")) for end in record.get("endpoints", ())
    )


def _ancestor(record: Record, wanted: str) -> bool:
    image_id = record["image_id"].removeprefix("sha256:")
    return image_id.startswith(wanted.removeprefix("sha256:")) or canonical(
        record["config"]["image"]
    ) == canonical(wanted)


def _exited(record: Record, wanted: str) -> bool:
    code = record.get("state", {}).get("exit_code", 0)
    return status_of(record) == "exited" and str(code) == wanted


def _name(record: Record, wanted: str) -> bool:
    """A regular expression, found anywhere; the name may have docker's slash in front."""
    try:
        return any(re.search(wanted, name) for name in (record["name"], "/" + record["name"]))
    except re.error as error:
        raise InvalidArgument(f"invalid filter 'name={wanted}': {error}") from None


CONTAINERS: dict[str, Test] = {
    "id": lambda record, wanted: record["id"].startswith(wanted),
    "name": _name,
    "status": lambda record, wanted: status_of(record) == wanted,
    "health": lambda record, wanted: (
        (record.get("state", {}).get("health") or {}).get("status", "none") == wanted
    ),
    "volume": lambda record, wanted: any(
        wanted in (m.get("source"), m["target"]) for m in record["config"].get("mounts", ())
    ),
    "label": lambda record, wanted: label(record["config"].get("labels", {}), wanted),
    "exited": _exited,
    "ancestor": _ancestor,
    "network": _network,
    "before": lambda record, wanted: record["created_at"] < int(wanted),
    "since": lambda record, wanted: record["created_at"] > int(wanted),
    "pod": lambda record, wanted: record.get("pod_id", "").startswith(wanted),
}


def _reference(record: Record, wanted: str) -> bool:
    return bool(names_like(record, [wanted]))


def names_like(record: Record, patterns: Sequence[str]) -> list[str]:
    """The names of an image that one of the patterns means."""
    found = []
    for name in record.get("tags", ()):
        for wanted in patterns:
            pattern = canonical(wanted)
            loose = pattern.removesuffix(":latest") + ":*"
            if fnmatchcase(name, pattern) or (":" not in wanted and fnmatchcase(name, loose)):
                found.append(name)
                break
    return found


IMAGES: dict[str, Test] = {
    "reference": _reference,
    "dangling": lambda record, wanted: (not record.get("tags")) == (wanted in ("true", "1")),
    "label": lambda record, wanted: label(
        record.get("config", {}).get("config", {}).get("Labels") or {}, wanted
    ),
}

VOLUMES: dict[str, Test] = {
    "name": lambda record, wanted: wanted in record["name"],
    "driver": lambda record, wanted: record.get("driver", "local") == wanted,
    "label": lambda record, wanted: label(record.get("labels") or {}, wanted),
    "dangling": lambda record, wanted: (not record.get("used_by")) == (wanted in ("true", "1")),
}
PRUNED_VOLUMES: dict[str, Test] = {
    "label": lambda record, wanted: label(record.get("labels") or {}, wanted),
    "label!": lambda record, wanted: not label(record.get("labels") or {}, wanted),
}

EVENTS: dict[str, Test] = {
    "type": lambda event, wanted: event["type"] == wanted,
    "event": lambda event, wanted: event["action"].partition(":")[0] == wanted,
    "container": lambda event, wanted: (
        event["type"] == "container"
        and (event["id"].startswith(wanted) or event.get("attributes", {}).get("name") == wanted)
    ),
    "volume": lambda event, wanted: event["type"] == "volume" and event["id"] == wanted,
    "image": lambda event, wanted: (
        (event["type"] == "image" and event["id"].startswith(wanted))
        or event.get("attributes", {}).get("image") == wanted
    ),
    "label": lambda event, wanted: label(event.get("attributes", {}), wanted),
}

NETWORKS: dict[str, Test] = {
    "id": lambda record, wanted: record["id"].startswith(wanted),
    "name": lambda record, wanted: wanted in record["name"],
    "driver": lambda record, wanted: record["driver"] == wanted,
    "label": lambda record, wanted: label(record.get("labels", {}), wanted),
    "scope": lambda _record, wanted: wanted == "local",
    "type": lambda record, wanted: wanted == ("builtin" if record.get("built_in") else "custom"),
    "dangling": lambda record, wanted: (
        (not record.get("built_in") and not record["used"]) == (wanted in ("true", "1"))
    ),
}

PRUNED_NETWORKS: dict[str, Test] = {
    "label": lambda record, wanted: label(record.get("labels", {}), wanted),
    "label!": lambda record, wanted: not label(record.get("labels", {}), wanted),
    "until": lambda record, wanted: record.get("created_at", 0) <= int(wanted),
}
