"""Links of the default bridge: other containers by names of one's own, in /etc/hosts."""

from __future__ import annotations

from collections.abc import Sequence

from corten.engine import states
from corten.engine.types import Container
from corten.engine.view import View
from corten.errors import CortenError, FailedPrecondition, InvalidArgument

Line = tuple[str, str]  # address, names


def check(view: View, record: Container) -> None:
    """Whether all that a new container links to is there.

    Raises:
        InvalidArgument: one is not, in dockerd's words.
    """
    for target, _alias in _pairs(record):
        try:
            view.container(record.tenant, target)
        except CortenError as error:
            raise InvalidArgument(f"could not get container for {target}: {error}") from None


def lines(view: View, record: Container, *, alive: bool = False) -> Sequence[Line]:
    """What /etc/hosts says of them, in dockerd's order: alias, host name, name.

    Arguments:
        alive: each must run.
    Raises:
        FailedPrecondition: one does not, in dockerd's words.
    """
    found = []
    for target, alias in _pairs(record):
        try:
            other = view.container(record.tenant, target)
        except CortenError:
            continue
        address = next((e.ipv4 for e in other.endpoints if e.network == "bridge"), "")
        if not address or not states.is_running(other):
            if alive:
                raise FailedPrecondition(
                    f"Cannot link to a non running container: /{other.name} AS"
                    f" /{record.name}/{alias}"
                )
            continue
        names = dict.fromkeys((alias, other.config.hostname or other.id[:12], other.name))
        found.append((address, " ".join(names)))
    return found


def environment(view: View, record: Container) -> tuple[str, ...]:
    """The variables that tell of links, as dockerd sets them; the container's own go above."""
    found: list[str] = []
    for target, alias in _pairs(record):
        try:
            other = view.container(record.tenant, target)
        except CortenError:
            continue
        address = next((e.ipv4 for e in other.endpoints if e.network == "bridge"), "")
        name = alias.upper().replace("-", "_")
        exposed = sorted(other.config.exposed_ports, key=_port)
        for count, (number, protocol) in enumerate(_port(text) for text in exposed):
            url = f"{protocol}://{address}:{number}"
            port = f"{name}_PORT_{number}_{protocol.upper()}"
            found += [f"{name}_PORT={url}"] if count == 0 else []
            found += [f"{port}={url}", f"{port}_ADDR={address}"]
            found += [f"{port}_PORT={number}", f"{port}_PROTO={protocol}"]
        found.append(f"{name}_NAME=/{record.name}/{alias}")
        found += [f"{name}_ENV_{e}" for e in other.config.env if _told(e)]
    return tuple(found)


def _port(text: str) -> tuple[int, str]:
    number, _, protocol = text.partition("/")
    return int(number), protocol or "tcp"


def _told(entry: str) -> bool:
    name, equals, _ = entry.partition("=")
    return bool(equals) and name not in ("HOME", "PATH")


def linking_to(view: View, other: Container) -> Sequence[Container]:
    """Who runs and has a link to a container."""
    return [
        record
        for record in view.containers.values()
        if record.config.links
        and record.tenant == other.tenant
        and states.is_running(record)
        and any(_means(target, other) for target, _alias in _pairs(record))
    ]


def _means(target: str, other: Container) -> bool:
    return target == other.name or other.id.startswith(target)


def _pairs(record: Container) -> list[tuple[str, str]]:
    parted = [link.partition(":") for link in record.config.links]
    return [(target, alias) for target, _, alias in parted]
