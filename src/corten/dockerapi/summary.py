"""``GET /containers/json``: one container's line, and which containers to show. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from corten.dockerapi import endpoints, inspect, ports, query
from corten.dockerapi.times import human
from corten.dockerapi.versions import MAXIMUM, Version
from corten.engine.states import is_running
from corten.engine.types import Container, State
from corten.errors import InvalidArgument, NotFound

FILTERS = (
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
)
_STATUSES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")

Resolve = Callable[[str], str]  # an image's reference to its id; raises NotFound


def summary(
    record: Container, labels: dict[str, str], now: int, version: Version = MAXIMUM
) -> dict[str, Any]:
    """One element of the list.

    Arguments:
        labels: the image's and the container's.
        now: nanoseconds since the epoch, for "Up 3 minutes".
    """
    return {
        "Id": record.id,
        "Names": [f"/{record.name}"],
        "Image": record.config.image,
        "ImageID": record.image_id,
        "Command": command(record),
        "Created": record.created_at // 10**9,
        "Ports": _ports(record),
        "Labels": labels,
        "State": record.state.status,
        "Status": status(record.state, now),
        "HostConfig": {"NetworkMode": record.config.namespaces.network},
        "NetworkSettings": {"Networks": endpoints.networks(record, version)},
        "Mounts": inspect.mount_points(record),
    }


def command(record: Container) -> str:
    """Program and arguments, words with blanks in quotes."""
    words = [f"'{word}'" if " " in word else word for word in record.args]
    return " ".join([record.path, *words])


def status(state: State, now: int) -> str:
    """The words of ``docker ps``."""
    if state.status == "running":
        words = {"starting": " (health: starting)", "healthy": " (healthy)"}
        checked = "" if state.health is None else words.get(state.health.status, " (unhealthy)")
        return f"Up {human((now - state.started_at) / 1e9)}{checked}"
    if state.status == "paused":
        return f"Up {human((now - state.started_at) / 1e9)} (Paused)"
    if state.status == "restarting":
        return f"Restarting ({state.exit_code}) {human((now - state.finished_at) / 1e9)} ago"
    if state.status == "exited":
        return f"Exited ({state.exit_code}) {human((now - state.finished_at) / 1e9)} ago"
    return {"created": "Created", "removing": "Removal In Progress", "dead": "Dead"}[state.status]


def select(
    records: Sequence[Container],
    wanted: query.Filters,
    *,
    everything: bool,
    limit: int,
    resolve: Resolve,
    labels: Callable[[Container], dict[str, str]],
) -> list[Container]:
    """The containers to show, newest first.

    Arguments:
        everything: also those that do not run; implied by a limit and by some filters.
        limit: so many of the newest, 0 for all.
    Raises:
        InvalidArgument: a filter's value that can't be.
        NotFound: ``before`` or ``since`` names no container.
    """
    _check(wanted)
    newest_first = sorted(records, key=lambda record: record.created_at, reverse=True)
    everything = (
        everything
        or limit > 0
        or any(name in wanted for name in ("before", "since", "status", "exited"))
    )
    chosen = _bounds(newest_first, wanted)
    if not everything:
        chosen = [record for record in chosen if is_running(record)]
    tests = _tests(wanted, resolve, labels)
    chosen = [record for record in chosen if all(test(record) for test in tests)]
    return chosen[:limit] if limit > 0 else chosen


def _check(wanted: query.Filters) -> None:
    for value in wanted.get("status", ()):
        if value not in _STATUSES:
            raise InvalidArgument(f"invalid filter 'status={value}'")
    for value in wanted.get("exited", ()):
        if not re.fullmatch(r"-?\d+", value):
            raise InvalidArgument(f"invalid filter 'exited={value}'")
    for value in wanted.get("is-task", ()):
        if value not in ("true", "false", "1", "0"):
            raise InvalidArgument(f"invalid filter 'is-task={value}'")


def _bounds(newest_first: list[Container], wanted: query.Filters) -> list[Container]:
    for name in ("before", "since"):
        for value in wanted.get(name, ()):
            at = newest_first.index(_named(newest_first, value))
            newest_first = newest_first[at + 1 :] if name == "before" else newest_first[:at]
    return newest_first


def _named(records: Iterable[Container], ref: str) -> Container:
    bare = ref.removeprefix("/")
    for record in records:
        if record.name == bare or record.id.startswith(bare):
            return record
    raise NotFound(f"No such container: {ref}")


def _tests(
    wanted: query.Filters, resolve: Resolve, labels: Callable[[Container], dict[str, str]]
) -> list[Callable[[Container], bool]]:
    """One predicate for each filter that is given; the values of one are alternatives."""
    images = {_resolved(value, resolve) for value in wanted.get("ancestor", ())}
    predicates: dict[str, Callable[[Container], bool]] = {
        "ancestor": lambda record: record.image_id in images,
        "exited": lambda record: (
            record.state.status == "exited" and str(record.state.exit_code) in wanted["exited"]
        ),
        "expose": lambda record: _any_port(wanted["expose"], record.config.exposed_ports),
        "health": lambda record: (
            (record.state.health.status if record.state.health else "none") in wanted["health"]
        ),
        "id": lambda record: any(record.id.startswith(value) for value in wanted["id"]),
        "is-task": lambda record: bool({"false", "0"} & set(wanted["is-task"])),
        "label": lambda record: query.match_labels(wanted["label"], labels(record)),
        "name": lambda record: any(_search(value, f"/{record.name}") for value in wanted["name"]),
        "network": lambda record: _in_network(record, wanted["network"]),
        "publish": lambda record: _any_port(wanted["publish"], _published(record)),
        "status": lambda record: record.state.status in wanted["status"],
        "volume": lambda record: any(
            mount.target in wanted["volume"] or mount.source in wanted["volume"]
            for mount in record.config.mounts
        ),
    }
    return [test for name, test in predicates.items() if name in wanted]


def _resolved(ref: str, resolve: Resolve) -> str:
    try:
        return resolve(ref)
    except NotFound:
        return ""


def _search(pattern: str, name: str) -> bool:
    try:
        found = re.search(pattern, name) or re.search(pattern, name[1:])
    except re.error:
        raise InvalidArgument(f"invalid filter 'name={pattern}'") from None
    return found is not None


def _any_port(wanted: Iterable[str], given: Iterable[str]) -> bool:
    return not set(ports.exposed(wanted)).isdisjoint(given)


def _published(record: Container) -> list[str]:
    bindings = [port for entry in record.endpoints for port in entry.ports] or record.config.ports
    return [f"{binding.container_port}/{binding.protocol}" for binding in bindings]


def _in_network(record: Container, wanted: Iterable[str]) -> bool:
    names = set(endpoints.names(record))
    ids = [entry.network_id for entry in record.endpoints]
    return any(
        value in names or any(value and ident.startswith(value) for ident in ids)
        for value in wanted
    )


def _ports(record: Container) -> list[dict[str, Any]]:
    if record.state.status not in ("running", "paused", "restarting"):
        return []
    result: list[dict[str, Any]] = []
    bound = set()
    for entry in record.endpoints:
        for binding in entry.ports:
            bound.add(f"{binding.container_port}/{binding.protocol}")
            result.append(
                {
                    "IP": binding.host_ip,
                    "PrivatePort": binding.container_port,
                    "PublicPort": binding.host_port,
                    "Type": binding.protocol,
                }
            )
    for text in record.config.exposed_ports:
        if text not in bound:
            number, _, protocol = text.partition("/")
            result.append({"PrivatePort": int(number), "Type": protocol})
    return result
