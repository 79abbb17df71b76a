"""``GET /containers/{id}/json``: a container's record in docker's shape. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from corten.dockerapi import endpoints, merge
from corten.dockerapi.hostview import host_config, port_map
from corten.dockerapi.times import ZERO, rfc3339
from corten.dockerapi.versions import Version
from corten.engine.types import Container, Endpoint, Health, MountRequest, State


def container(
    record: Container,
    image: dict[str, Any],
    execs: Sequence[str],
    version: Version,
    volume_path: Callable[[str], str] = lambda name: "",
) -> dict[str, Any]:
    """The whole document, as clients of ``version`` expect it.

    Arguments:
        image: the image's configuration (its ``config`` member is used), ``{}`` if unknown.
        execs: ids of execs that run.
        volume_path: where a volume's files lie, by its name.
    """
    settings = merge.config(record, image.get("config") or {})
    if version < (1, 44):
        settings["MacAddress"] = record.config.mac_address
    return {
        "Id": record.id,
        "Created": rfc3339(record.created_at),
        "Path": record.path,
        "Args": list(record.args),
        "State": _state(record.state),
        "Image": record.image_id,
        "ResolvConfPath": record.resolv_path,
        "HostnamePath": record.hostname_path,
        "HostsPath": record.hosts_path,
        "LogPath": record.log_path,
        "Name": f"/{record.name}",
        "RestartCount": record.restart_count,
        "Driver": record.snapshotter,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": record.config.security.selinux_label,
        "AppArmorProfile": record.config.security.apparmor,
        "ExecIDs": list(execs) or None,
        "HostConfig": host_config(record),
        "GraphDriver": {"Name": record.snapshotter, "Data": None},
        "Mounts": mount_points(record, volume_path),
        "Config": settings,
        "NetworkSettings": _network_settings(record, version),
    }


def mount_points(
    record: Container, volume_path: Callable[[str], str] = lambda name: ""
) -> list[dict[str, Any]]:
    """``Mounts``: what is mounted, the volumes by their names; without the tmpfs of
    ``--tmpfs``, as docker leaves them out."""
    hidden = record.origin.get("tmpfs", ())
    return [
        _volume_point(mount, volume_path) if mount.type == "volume" else _mount_point(mount)
        for mount in record.config.mounts
        if mount.target not in hidden
    ]


def _state(state: State) -> dict[str, Any]:
    status = state.status
    alive = status in ("running", "paused", "restarting")
    return {
        "Status": status,
        "Running": alive,
        "Paused": status == "paused",
        "Restarting": status == "restarting",
        "OOMKilled": state.oom_killed,
        "Dead": status == "dead",
        "Pid": state.pid if alive else 0,
        "ExitCode": 0 if status in ("running", "paused") else state.exit_code,
        "Error": state.error,
        "StartedAt": rfc3339(state.started_at),
        "FinishedAt": rfc3339(state.finished_at) if state.finished_at else ZERO,
        **({} if state.health is None else {"Health": _health(state.health)}),
    }


def _health(health: Health) -> dict[str, Any]:
    return {
        "Status": health.status,
        "FailingStreak": health.failing_streak,
        "Log": [
            {
                "Start": rfc3339(one.start),
                "End": rfc3339(one.end),
                "ExitCode": one.exit_code,
                "Output": one.output,
            }
            for one in health.log
        ],
    }


def _mount_point(mount: MountRequest) -> dict[str, Any]:
    return {
        "Type": mount.type,
        "Source": mount.source,
        "Destination": mount.target,
        "Mode": mount.mode or ("ro" if mount.read_only else ""),
        "RW": not mount.read_only,
        "Propagation": mount.propagation or ("rprivate" if mount.type == "bind" else ""),
    }


def _volume_point(mount: MountRequest, volume_path: Callable[[str], str]) -> dict[str, Any]:
    return {
        "Type": "volume",
        "Name": mount.source,
        "Source": volume_path(mount.source),
        "Destination": mount.target,
        "Driver": "local",
        "Mode": mount.mode,
        "RW": not mount.read_only,
        "Propagation": mount.propagation,
    }


def _network_settings(record: Container, version: Version) -> dict[str, Any]:
    bound: dict[str, Any] = {}
    alive = record.state.status in ("running", "paused", "restarting")
    if alive:
        bound = {port: None for port in record.config.exposed_ports}
        for entry in record.endpoints:
            bound |= port_map(entry.ports)
    key = f"/proc/{record.state.pid}/ns/net" if alive and record.state.pid else ""
    settings: dict[str, Any] = {
        "SandboxID": record.id if alive else "",
        "SandboxKey": key,
        "Ports": bound,
        "Networks": endpoints.networks(record, version),
    }
    if version < (1, 52):
        settings |= _old_network_settings(record)
    return settings


def _old_network_settings(record: Container) -> dict[str, Any]:
    """What was the only network's once; gone in 1.52."""
    default = next(
        (entry for entry in record.endpoints if entry.network == "bridge"), Endpoint(network="")
    )
    shown = endpoints.settings(default)
    names = (
        "EndpointID",
        "Gateway",
        "GlobalIPv6Address",
        "GlobalIPv6PrefixLen",
        "IPAddress",
        "IPPrefixLen",
        "IPv6Gateway",
        "MacAddress",
    )
    return {name: shown[name] for name in names} | {
        "Bridge": "",
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
    }
