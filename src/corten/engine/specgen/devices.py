"""Device nodes and the device rules of the cgroup."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from corten.engine.types import DeviceRequest
from corten.errors import InvalidArgument


class HostDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device node of the host, as ``stat`` tells it."""

    path: str
    kind: str  # "c" or "b"
    major: int
    minor: int
    mode: int  # permission bits
    uid: int = 0
    gid: int = 0


# What the runtime makes in every container (config-linux.md, "Default Devices"), and the
# right to make nodes: runc allows the same.
_DEFAULT_RULES: tuple[dict[str, Any], ...] = (
    {"allow": False, "access": "rwm"},
    {"allow": True, "type": "c", "access": "m"},
    {"allow": True, "type": "b", "access": "m"},
    {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"},  # null
    {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rwm"},  # zero
    {"allow": True, "type": "c", "major": 1, "minor": 7, "access": "rwm"},  # full
    {"allow": True, "type": "c", "major": 1, "minor": 8, "access": "rwm"},  # random
    {"allow": True, "type": "c", "major": 1, "minor": 9, "access": "rwm"},  # urandom
    {"allow": True, "type": "c", "major": 5, "minor": 0, "access": "rwm"},  # tty
    {"allow": True, "type": "c", "major": 5, "minor": 2, "access": "rwm"},  # ptmx
    {"allow": True, "type": "c", "major": 136, "access": "rwm"},  # pts
)

_RULE = re.compile(r"([acb]) (\d+|\*):(\d+|\*) ([rwm]{1,3})")


def device_rules(
    asked: Sequence[tuple[DeviceRequest, HostDevice]],
    more: Sequence[str] = (),
    *,
    privileged: bool,
) -> list[dict[str, Any]]:
    """``linux.resources.devices``; a privileged container may use everything.

    Arguments:
        more: rules of the user's own, as ``c 13:* rwm``; ``a`` for both kinds.
    """
    if privileged:
        return [{"allow": True, "access": "rwm"}]
    rules = [dict(rule) for rule in _DEFAULT_RULES]
    for request, device in asked:
        rules.append(
            {
                "allow": True,
                "type": device.kind,
                "major": device.major,
                "minor": device.minor,
                "access": _access(request),
            }
        )
    return rules + [device_rule(text) for text in more]


def device_rule(text: str) -> dict[str, Any]:
    """One rule of the user's.

    Raises:
        InvalidArgument: it is none, in dockerd's words.
    """
    found = _RULE.fullmatch(text)
    if found is None:
        raise InvalidArgument(f"invalid device cgroup rule format: '{text}'")
    kind, major, minor, access = found.groups()
    rule: dict[str, Any] = {"allow": True, "type": kind, "access": access}
    numbers = {"major": major, "minor": minor}
    return rule | {name: int(number) for name, number in numbers.items() if number != "*"}


def device_nodes(
    asked: Sequence[tuple[DeviceRequest, HostDevice]], host: Sequence[HostDevice]
) -> list[dict[str, Any]]:
    """``linux.devices``: the user's, and for a privileged container the host's."""
    nodes = {device.path: _node(device.path, device) for device in host}
    for request, device in asked:
        path = request.container_path or request.host_path
        nodes[path] = _node(path, device)
    return list(nodes.values())


def _node(path: str, device: HostDevice) -> dict[str, Any]:
    return {
        "path": path,
        "type": device.kind,
        "major": device.major,
        "minor": device.minor,
        "fileMode": device.mode,
        "uid": device.uid,
        "gid": device.gid,
    }


def _access(request: DeviceRequest) -> str:
    access = request.access or "rwm"
    if not set(access) <= set("rwm"):
        raise InvalidArgument(f"invalid device mode: {access}")
    return access
