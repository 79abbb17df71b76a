"""Records as lines of docker's lists: dictionaries whose keys are the fields of ``--format``.

Records arrive without the members that are at their defaults (docs/protocol.md), hence the
many ``get``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corten.cli import human
from corten.cli.names import familiar, split
from corten.cli.template_eval import Map

Record = Mapping[str, Any]

PS_TABLE = (
    "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
)
PS_HEADERS = {
    "ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED", "Status": "STATUS", "Ports": "PORTS", "Names": "NAMES",
    "State": "STATE", "Labels": "LABELS", "Mounts": "MOUNTS", "Networks": "NETWORKS",
    "Pod": "POD", "Tenant": "TENANT", "Size": "SIZE", "LocalVolumes": "LOCAL VOLUMES",
}  # fmt: skip
IMAGES_TABLE = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
DIGESTS_TABLE = (
    "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
)
IMAGES_HEADERS = {
    "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "ID": "IMAGE ID",
    "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "Size": "SIZE",
}  # fmt: skip
VOLUMES_TABLE = "table {{.Driver}}\t{{.Name}}"
VOLUMES_HEADERS = {
    "Driver": "DRIVER", "Name": "VOLUME NAME", "Scope": "SCOPE", "Mountpoint": "MOUNTPOINT",
    "Labels": "LABELS", "Links": "LINKS", "CreatedAt": "CREATED AT",
}  # fmt: skip
PODS_TABLE = "table {{.ID}}\t{{.Namespace}}\t{{.Name}}\t{{.CreatedSince}}\t{{.State}}\t{{.IPs}}"
PODS_HEADERS = {
    "ID": "POD ID", "Namespace": "NAMESPACE", "Name": "NAME", "CreatedSince": "CREATED",
    "State": "STATE", "IPs": "IP", "Attempt": "ATTEMPT", "CreatedAt": "CREATED AT",
}  # fmt: skip

NETWORKS_TABLE = "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}"
NETWORKS_HEADERS = {
    "ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE", "IPv6": "IPV6",
    "Internal": "INTERNAL", "Labels": "LABELS", "CreatedAt": "CREATED AT",
}  # fmt: skip

_COMMAND_WIDTH = 20
_ID_WIDTH = 12


def short_id(text: str, full: bool = False) -> str:
    """Twelve digits, without ``sha256:``; or, in full, as it is."""
    return text if full else text.removeprefix("sha256:")[:_ID_WIDTH]


def status_of(record: Record) -> str:
    return str(record.get("state", {}).get("status", "created"))


def status(record: Record, now: float | None = None) -> str:
    """``Up 5 minutes``, ``Exited (0) 3 hours ago``."""
    state = record.get("state", {})
    code = state.get("exit_code", 0)
    up = human.ago(state.get("started_at", 0), now).removesuffix(" ago")
    ended = human.ago(state.get("finished_at", 0), now)
    checked = (state.get("health") or {}).get("status", "")
    checked = {"": "", "starting": " (health: starting)"}.get(checked, f" ({checked})")
    texts = {
        "created": "Created",
        "running": f"Up {up}{checked}",
        "paused": f"Up {up} (Paused)",
        "restarting": f"Restarting ({code}) {ended}",
        "removing": "Removal In Progress",
        "exited": f"Exited ({code}) {ended}",
        "dead": "Dead",
    }
    return texts[status_of(record)]


def command(record: Record, full: bool) -> str:
    """The command line in quotes, shortened."""
    words = [record.get("path", ""), *record.get("args", ())]
    text = " ".join([f"'{word}'" if " " in word else word for word in words if word])
    if not full and len(text) > _COMMAND_WIDTH:
        text = text[: _COMMAND_WIDTH - 1] + "…"
    return f'"{text}"'


def ports(record: Record) -> str:
    """``0.0.0.0:8080->80/tcp, 443/tcp``."""
    if status_of(record) not in ("running", "paused"):
        return ""
    bound = [port for end in record.get("endpoints", ()) for port in end.get("ports", ())]
    shown = {
        f"{_address(port)}:{port.get('host_port', 0)}->"
        f"{port['container_port']}/{port.get('protocol', 'tcp')}": None
        for port in bound
    }
    published = {f"{p['container_port']}/{p.get('protocol', 'tcp')}" for p in bound}
    exposed = [p for p in record["config"].get("exposed_ports", ()) if p not in published]
    return ", ".join([*shown, *exposed])


def _address(port: Record) -> str:
    ip = port.get("host_ip", "") or "0.0.0.0"
    return f"[{ip}]" if ":" in ip else str(ip)


def container(record: Record, *, full: bool, pods: Mapping[str, str]) -> dict[str, Any]:
    """A line of ``ps``."""
    config = record["config"]
    mounts = [m.get("source", "") or m["target"] for m in config.get("mounts", ())]
    networks = [end["network"] for end in record.get("endpoints", ())]
    return {
        "ID": short_id(record["id"], full),
        "Image": config["image"],
        "Command": command(record, full),
        "CreatedAt": human.created_at(record["created_at"]),
        "RunningFor": human.ago(record["created_at"]),
        "Status": status(record),
        "State": status_of(record),
        "Ports": ports(record),
        "Names": record["name"],
        "Labels": _labels(config.get("labels", {})),
        "Mounts": ",".join(mounts if full else (_shorten(m) for m in mounts)),
        "Networks": ",".join(networks),
        "Size": "N/A",
        "LocalVolumes": str(sum(m["type"] == "volume" for m in config.get("mounts", ()))),
        "Tenant": record["tenant"],
        "Pod": pods.get(record.get("pod_id", ""), ""),
    }


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())


def _shorten(text: str) -> str:
    return text if len(text) <= 15 else text[:14] + "…"


def pod_row(record: Record, *, full: bool) -> dict[str, Any]:
    """A pod among the lines of ``ps --tenant k8s``."""
    return {
        "ID": short_id(record["id"], full),
        "Image": "(pod)",
        "Command": "",
        "CreatedAt": human.created_at(record["created_at"]),
        "RunningFor": human.ago(record["created_at"]),
        "Status": "Ready" if record.get("ready") else "NotReady",
        "State": "running" if record.get("ready") else "exited",
        "Ports": "",
        "Names": pod_name(record),
        "Labels": _labels(record["config"].get("labels", {})),
        "Mounts": "",
        "Networks": "",
        "Size": "",
        "LocalVolumes": "0",
        "Tenant": record["tenant"],
        "Pod": pod_name(record),
    }


def pod_name(record: Record) -> str:
    """``namespace/name``."""
    config = record["config"]
    return f"{config.get('namespace', 'default')}/{config['name']}"


def pod(record: Record, *, full: bool) -> dict[str, Any]:
    """A line of ``pod ls``."""
    config = record["config"]
    return {
        "ID": short_id(record["id"], full),
        "Namespace": config.get("namespace", "default"),
        "Name": config["name"],
        "Attempt": config.get("attempt", 0),
        "CreatedAt": human.created_at(record["created_at"]),
        "CreatedSince": human.ago(record["created_at"]),
        "State": "Ready" if record.get("ready") else "NotReady",
        "IPs": ",".join(record.get("ips", ())),
        "Labels": _labels(config.get("labels", {})),
    }


def volume(record: Record) -> dict[str, Any]:
    """A line of ``volume ls``."""
    return {
        "Driver": record.get("driver", "local"),
        "Name": record["name"],
        "Scope": "local",
        "Mountpoint": record["path"],
        "Labels": _labels(record.get("labels") or {}),
        "Links": str(len(record.get("used_by", ()))),
        "CreatedAt": human.created_at(record["created_at"]),
    }


def images(record: Record, *, full: bool) -> list[dict[str, Any]]:
    """The lines of ``images`` for one image: one per tag."""
    digests = {d.partition("@")[0]: d.partition("@")[2] for d in record.get("digests", ())}
    rows = []
    for name in record.get("tags", ()) or [None]:
        repository, tag = split(name) if name else (next(iter(digests), "<none>"), "<none>")
        rows.append(
            {
                "Repository": familiar(repository),
                "Tag": tag,
                "Digest": digests.get(repository, "<none>"),
                "ID": short_id(record["id"], full),
                "CreatedAt": human.created_at(record.get("created_at", 0)),
                "CreatedSince": human.ago(record.get("created_at", 0)),
                "Size": human.size(record.get("size", 0)),
            }
        )
    return rows


def network(record: Record, *, full: bool) -> dict[str, Any]:
    """A line of ``network ls``."""
    labels = record.get("labels", {})
    return {
        "ID": short_id(record["id"], full),
        "Name": record["name"],
        "Driver": record["driver"],
        "Scope": "local",
        "IPv6": bool(record.get("subnet6")),
        "Internal": record.get("internal", False),
        "CreatedAt": human.created_at(record.get("created_at", 0)),
        "Labels": _labels(labels),
        "Label": labels,
    }


def event_line(event: Record) -> str:
    """``2026-11-24T12:00:00.000000000Z container start ID (image=x, name=y)``."""
    attributes = ", ".join(f"{k}={v}" for k, v in sorted(event.get("attributes", {}).items()))
    tail = f" ({attributes})" if attributes else ""
    return f"{human.log_time(event['time'])} {event['type']} {event['action']} {event['id']}{tail}"


def event(event: Record) -> dict[str, Any]:
    """An event in docker's shape, for ``--format``."""
    return {
        "Type": event["type"],
        "Action": event["action"],
        "status": event["action"],
        "id": event["id"],
        "ID": event["id"],
        "Actor": {"ID": event["id"], "Attributes": Map(event.get("attributes", {}))},
        "Tenant": event["tenant"],
        "scope": "local",
        "time": event["time"] // 10**9,
        "timeNano": event["time"],
    }
