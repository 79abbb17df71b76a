"""``inspect``: records in the shape that docker's users know, for ``--format`` above all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from corten.cli.human import rfc3339
from corten.cli.names import familiar
from corten.cli.template_eval import Map

Record = Mapping[str, Any]
_ALIVE = ("running", "paused", "restarting")


def container(
    record: Record, image: Record, places: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A container.

    Arguments:
        image: its image's record, ``{}`` if that is gone.
        places: where the files of its volumes lie, by their names.
    """
    attached = record.get("origin", {}).get("attach", ())
    return {
        "Id": record["id"],
        "Tenant": record["tenant"],
        "Created": rfc3339(record["created_at"]),
        "Path": record.get("path", ""),
        "Args": list(record.get("args", ())),
        "State": _state(record.get("state", {})),
        "Image": record["image_id"],
        "ResolvConfPath": record.get("resolv_path", ""),
        "HostnamePath": record.get("hostname_path", ""),
        "HostsPath": record.get("hosts_path", ""),
        "LogPath": record.get("log_path", ""),
        "Name": f"/{record['name']}",
        "RestartCount": record.get("restart_count", 0),
        "Driver": record.get("snapshotter", ""),
        "Platform": "linux",
        "PodId": record.get("pod_id", ""),
        "HostConfig": _host_config(record["config"]),
        "Mounts": [_mount(entry, places or {}) for entry in record["config"].get("mounts", ())],
        "Config": {
            **{f"Attach{name.title()}": name in attached for name in ("stdin", "stdout", "stderr")},
            **_config(record, image.get("config", {}).get("config", {})),
        },
        "NetworkSettings": _network(record),
        "StartSteps": [
            {"Step": step["step"], "Microseconds": step["microseconds"]}
            for step in record.get("steps", ())
        ],
    }


def _state(state: Record) -> dict[str, Any]:
    status = state.get("status", "created")
    alive = status in _ALIVE
    return {
        "Status": status,
        "Running": alive,
        "Paused": status == "paused",
        "Restarting": status == "restarting",
        "OOMKilled": state.get("oom_killed", False),
        "Dead": status == "dead",
        "Pid": state.get("pid", 0) if alive else 0,
        "ExitCode": state.get("exit_code", 0),
        "Error": state.get("error", ""),
        "Reason": state.get("reason", ""),
        "StartedAt": rfc3339(state.get("started_at", 0)),
        "FinishedAt": rfc3339(state.get("finished_at", 0)),
        **({"Health": _health(state["health"])} if state.get("health") else {}),
    }


def _health(health: Record) -> dict[str, Any]:
    return {
        "Status": health["status"],
        "FailingStreak": health.get("failing_streak", 0),
        "Log": [
            {
                "Start": rfc3339(one["start"]),
                "End": rfc3339(one["end"]),
                "ExitCode": one["exit_code"],
                "Output": one.get("output", ""),
            }
            for one in health.get("log", ())
        ],
    }


def _config(record: Record, image: Record) -> dict[str, Any]:
    """What runs: the image's settings under the container's."""
    config = record["config"]
    entrypoint = config.get("entrypoint")
    cmd = config.get("cmd")
    if entrypoint is None:
        entrypoint = image.get("Entrypoint")
        cmd = image.get("Cmd") if cmd is None else cmd
    exposed = [*(image.get("ExposedPorts") or ()), *config.get("exposed_ports", ())]
    own = {line.partition("=")[0] for line in config.get("env", ())}
    inherited = [line for line in image.get("Env") or () if line.partition("=")[0] not in own]
    return {
        "Hostname": config.get("hostname", "") or record["id"][:12],
        "Domainname": config.get("domainname", ""),
        "User": config.get("user", "") or image.get("User", ""),
        "Tty": config.get("tty", False),
        "OpenStdin": config.get("open_stdin", False),
        "StdinOnce": config.get("stdin_once", False),
        "Env": inherited + list(config.get("env", ())),
        "Cmd": cmd,
        "Image": config["image"],
        "Volumes": Map({place: Map() for place in config.get("volumes", ())}) or None,
        "WorkingDir": config.get("working_dir", "") or image.get("WorkingDir", ""),
        "Entrypoint": entrypoint,
        "Labels": Map({**(image.get("Labels") or {}), **config.get("labels", {})}),
        "ExposedPorts": Map({port: {} for port in exposed}),
        "StopSignal": config.get("stop_signal", "") or image.get("StopSignal", ""),
    }


_HOST_SPACES = {
    "NetworkMode": "network", "PidMode": "pid", "IpcMode": "ipc", "UTSMode": "uts",
    "CgroupnsMode": "cgroup", "UsernsMode": "user",
}  # fmt: skip


def _host_config(config: Record) -> dict[str, Any]:
    resources, security = config.get("resources", {}), config.get("security", {})
    spaces, log = config.get("namespaces", {}), config.get("log", {})
    restart = config.get("restart", {})
    return {
        "Binds": [_bind(entry) for entry in config.get("mounts", ()) if _is_bind(entry)] or None,
        "VolumesFrom": list(config.get("volumes_from", ())),
        "LogConfig": {"Type": log.get("driver", "json-file"), "Config": log.get("options", {})},
        **{key: spaces.get(name, _default(name)) for key, name in _HOST_SPACES.items()},
        "PortBindings": _port_map(config.get("ports", ())),
        "PublishAllPorts": config.get("publish_all", False),
        "RestartPolicy": {
            "Name": restart.get("name", "no"),
            "MaximumRetryCount": restart.get("maximum_retry_count", 0),
        },
        "AutoRemove": config.get("auto_remove", False),
        "Privileged": security.get("privileged", False),
        "ReadonlyRootfs": security.get("readonly_rootfs", False),
        "CapAdd": list(security.get("cap_add", ())),
        "CapDrop": list(security.get("cap_drop", ())),
        "Memory": resources.get("memory") or 0,
        "MemorySwap": resources.get("memory_swap") or 0,
        "MemoryReservation": resources.get("memory_reservation") or 0,
        "NanoCpus": resources.get("nano_cpus") or 0,
        "CpuShares": resources.get("cpu_shares") or 0,
        "CpuPeriod": resources.get("cpu_period") or 0,
        "CpuQuota": resources.get("cpu_quota") or 0,
        "CpusetCpus": resources.get("cpuset_cpus", ""),
        "PidsLimit": resources.get("pids_limit"),
        "ShmSize": config.get("shm_size", 64 << 20),
        "Init": config.get("init", False),
        "Runtime": config.get("runtime", "") or "native",
        "CgroupParent": config.get("cgroup_parent", ""),
        "Dns": list(config.get("dns", ())),
        "ExtraHosts": list(config.get("extra_hosts", ())),
        "OomScoreAdj": config.get("oom_score_adj", 0),
    }


def _default(name: str) -> str:
    return {"network": "default", "user": "host"}.get(name, "private")


def _bind(entry: Record) -> str:
    text = f"{entry.get('source', '')}:{entry['target']}"
    return f"{text}:ro" if entry.get("read_only") else text


def _is_bind(entry: Record) -> bool:
    return entry["type"] == "bind" or (entry["type"] == "volume" and not entry.get("anonymous"))


def _mount(entry: Record, places: Mapping[str, str]) -> dict[str, Any]:
    source = entry.get("source", "")
    volume = entry["type"] == "volume"
    return {
        "Type": entry["type"],
        **({"Name": source} if volume else {}),
        "Source": places.get(source, "") if volume else source,
        "Destination": entry["target"],
        "Driver": "local" if volume else "",
        "Mode": entry.get("mode", ""),
        "RW": not entry.get("read_only", False),
        "Propagation": entry.get("propagation", "") or ("" if volume else "rprivate"),
    }


def _port_map(ports: Any) -> Map:
    found = Map()
    for port in ports:
        key = f"{port['container_port']}/{port.get('protocol', 'tcp')}"
        found.setdefault(key, []).append(
            {"HostIp": port.get("host_ip", ""), "HostPort": str(port.get("host_port", 0))}
        )
    return found


def _network(record: Record) -> dict[str, Any]:
    ends = record.get("endpoints", ())
    asked = {one["network"]: one for one in record["config"].get("networks") or ()}
    known = {end["network"]: end for end in ends}
    names = [*known, *(name for name in asked if name not in known)]
    networks = Map({name: _endpoint(known.get(name, {}), asked.get(name, {})) for name in names})
    first = next(iter(networks.values()), _endpoint({}, {}))
    shown = ("IPAddress", "IPPrefixLen", "Gateway", "MacAddress", "GlobalIPv6Address")
    return {
        "Ports": _port_map([port for end in ends for port in end.get("ports", ())]),
        "Networks": networks,
        **{name: first[name] for name in shown},
    }


def _endpoint(end: Record, asked: Record) -> dict[str, Any]:
    return {
        "Aliases": list(asked.get("aliases", ())),
        "DNSNames": list(end.get("dns_names", ())),
        "NetworkID": end.get("network_id", ""),
        "EndpointID": end.get("endpoint_id", ""),
        "Gateway": end.get("gateway4", ""),
        "IPAddress": end.get("ipv4", ""),
        "IPPrefixLen": end.get("ipv4_prefix", 0),
        "IPv6Gateway": end.get("gateway6", ""),
        "GlobalIPv6Address": end.get("ipv6", ""),
        "GlobalIPv6PrefixLen": end.get("ipv6_prefix", 0),
        "MacAddress": end.get("mac_address", ""),
    }


def image(record: Record) -> dict[str, Any]:
    """An image."""
    config = record.get("config", {})
    return {
        "Id": record["id"],
        "RepoTags": [familiar(name) for name in record.get("tags", ())],
        "RepoDigests": [familiar(name) for name in record.get("digests", ())],
        "Created": config.get("created", rfc3339(record.get("created_at", 0))),
        "Comment": config.get("comment", ""),
        "Author": config.get("author", ""),
        "Architecture": record.get("architecture", ""),
        "Os": record.get("os", "linux"),
        "Variant": record.get("variant", ""),
        "Size": record.get("size", 0),
        "Config": config.get("config", {}),
        "RootFS": {
            "Type": config.get("rootfs", {}).get("type", "layers"),
            "Layers": list(record.get("layers", ())),
        },
        "Pinned": record.get("pinned", False),
    }


def volume(record: Record) -> dict[str, Any]:
    """A volume."""
    return {
        "CreatedAt": rfc3339(record["created_at"]),
        "Driver": record.get("driver", "local"),
        "Labels": record.get("labels") and Map(record["labels"]),
        "Mountpoint": record["path"],
        "Name": record["name"],
        "Options": record.get("options") and Map(sorted(record["options"].items())),
        "Scope": "local",
        "Anonymous": record.get("anonymous", False),
        "UsedBy": list(record.get("used_by", ())),
    }


def network(record: Record, containers: Iterable[Record]) -> dict[str, Any]:
    """A network, with those of the containers that are connected."""
    aux = record.get("aux", {})
    subnets = [
        {
            "Subnet": record[f"subnet{version}"],
            **_given("IPRange", record.get(f"range{version}", "")),
            **_given("Gateway", record.get(f"gateway{version}", "")),
            **_given(
                "AuxiliaryAddresses",
                {name: a for name, a in aux.items() if (":" in a) == (version == 6)},
            ),
        }
        for version in (4, 6)
        if record.get(f"subnet{version}")
    ]
    members = Map()
    for one in containers:
        for end in one.get("endpoints", ()):
            if end.get("network_id") == record["id"]:
                members[one["id"]] = _member(one, end)
    return {
        "Name": record["name"],
        "Id": record["id"],
        "Created": rfc3339(record.get("created_at", 0)),
        "Scope": "local",
        "Driver": record["driver"],
        "EnableIPv6": bool(record.get("subnet6")),
        "IPAM": {"Driver": "default", "Options": Map(), "Config": subnets},
        "Internal": record.get("internal", False),
        "Attachable": record.get("attachable", False),
        "Containers": members,
        "Options": Map(record.get("options", {})),
        "Labels": Map(record.get("labels", {})),
        "Bridge": record.get("interface", ""),
        "Mtu": record.get("mtu", 0),
        "Nat": record.get("nat", ""),
        "NatProblem": record.get("nat_problem", ""),
    }


def _given(name: str, value: Any) -> dict[str, Any]:
    return {name: value} if value else {}


def _member(record: Record, end: Record) -> dict[str, Any]:
    return {
        "Name": record["name"],
        "EndpointID": end.get("endpoint_id", ""),
        "MacAddress": end.get("mac_address", ""),
        "IPv4Address": f"{end['ipv4']}/{end['ipv4_prefix']}" if end.get("ipv4") else "",
        "IPv6Address": f"{end['ipv6']}/{end['ipv6_prefix']}" if end.get("ipv6") else "",
    }


def pod(record: Record) -> dict[str, Any]:
    """A pod."""
    config = record["config"]
    return {
        "Id": record["id"],
        "Name": config["name"],
        "Namespace": config.get("namespace", "default"),
        "Uid": config.get("uid", ""),
        "Attempt": config.get("attempt", 0),
        "Created": rfc3339(record["created_at"]),
        "Ready": record.get("ready", False),
        "Reason": record.get("reason", ""),
        "IPs": list(record.get("ips", ())),
        "NetworkNamespace": record.get("netns_path", ""),
        "Pid": record.get("pid", 0),
        "Labels": Map(config.get("labels", {})),
        "Annotations": Map(config.get("annotations", {})),
        "CgroupParent": config.get("cgroup_parent", ""),
        "LogDirectory": config.get("log_directory", ""),
    }
