"""``HostConfig`` of a container as docker shows it, from the engine's record. No I/O."""

from __future__ import annotations

from typing import Any

import msgspec

from corten.engine.specgen.build import MASKED, READONLY
from corten.engine.types import Container, ContainerConfig, MountRequest, PortBinding, Security


def host_config(container: Container) -> dict[str, Any]:
    """The ``HostConfig`` object."""
    config = container.config
    return _general(container) | _isolation(config) | _limits(config)


def port_map(bindings: tuple[PortBinding, ...]) -> dict[str, list[dict[str, str]]]:
    """``PortMap``: container port to host addresses and ports."""
    result: dict[str, list[dict[str, str]]] = {}
    for binding in bindings:
        key = f"{binding.container_port}/{binding.protocol}"
        host = str(binding.host_port) if binding.host_port else ""
        result.setdefault(key, []).append({"HostIp": binding.host_ip, "HostPort": host})
    return result


def bind_text(mount: MountRequest) -> str:
    """A mount in ``docker run -v``'s form."""
    words = ["ro"] if mount.read_only else []
    if mount.propagation:
        words.append(mount.propagation)
    return ":".join([mount.source, mount.target, *([",".join(words)] if words else [])])


def _general(container: Container) -> dict[str, Any]:
    config, origin = container.config, container.origin
    result: dict[str, Any] = {
        "Binds": origin.get("binds") or (None if "mounts" in origin else _binds(config)),
        "ContainerIDFile": "",
        "LogConfig": {"Type": config.log.driver, "Config": config.log.options},
        "NetworkMode": config.namespaces.network,
        "PortBindings": port_map(_bindings(container)),
        "RestartPolicy": {
            "Name": config.restart.name,
            "MaximumRetryCount": config.restart.maximum_retry_count,
        },
        "AutoRemove": config.auto_remove,
        "VolumeDriver": origin.get("volume_driver", ""),
        "VolumesFrom": list(config.volumes_from) or None,
        "ConsoleSize": list(config.console_size or (0, 0)),
        "Annotations": config.annotations or None,
        "Dns": list(config.dns),
        "DnsOptions": list(config.dns_options),
        "DnsSearch": list(config.dns_search),
        "ExtraHosts": list(config.extra_hosts) or None,
        "GroupAdd": list(config.group_add) or None,
        "Links": _links(container),
        "OomScoreAdj": config.oom_score_adj,
        "PublishAllPorts": config.publish_all,
        "ShmSize": config.shm_size,
        "Runtime": config.runtime or "native",
        "Isolation": origin.get("isolation", ""),
    }
    if config.init:
        result["Init"] = True
    if config.sysctls:
        result["Sysctls"] = config.sysctls
    tmpfs = origin.get("tmpfs") or {}
    if tmpfs:
        result["Tmpfs"] = tmpfs
    if "mounts" in origin:
        mounts = [_without_nothing(mount) for mount in origin["mounts"]]
    else:
        mounts = [_mount(mount) for mount in _not_shown(config) if mount.target not in tmpfs]
    return result | ({"Mounts": mounts} if mounts else {})


def _bindings(container: Container) -> tuple[PortBinding, ...]:
    """As asked for, also of ports that are not exposed and so not published."""
    if "ports" in container.origin:
        return msgspec.convert(container.origin["ports"], tuple[PortBinding, ...])
    return container.config.ports


def _links(container: Container) -> list[str] | None:
    """As dockerd keeps them: paths below the container's name."""
    pairs = [link.partition(":") for link in container.config.links]
    return [f"/{target}:/{container.name}/{alias}" for target, _, alias in pairs] or None


def _binds(config: ContainerConfig) -> list[str] | None:
    shown = [m for m in config.mounts if m.create_source or (m.type == "volume" and m.mode)]
    return [bind_text(mount) for mount in shown] or None


def _not_shown(config: ContainerConfig) -> list[MountRequest]:
    """The mounts that ``Binds`` does not show and the user asked for."""
    if config.volumes_from:
        return []
    return [m for m in config.mounts if not (m.create_source or m.anonymous or m.mode)]


def _mount(mount: MountRequest) -> dict[str, Any]:
    result: dict[str, Any] = {"Type": mount.type, "Target": mount.target}
    if mount.source:
        result["Source"] = mount.source
    if mount.read_only:
        result["ReadOnly"] = True
    if mount.propagation:
        result["BindOptions"] = {"Propagation": mount.propagation}
    return result


def _without_nothing(given: Any) -> Any:
    """What was sent, without the members that said nothing."""
    if not isinstance(given, dict):
        return given
    return {
        name: _without_nothing(value)
        for name, value in given.items()
        if value is not None and value is not False
    }


def _isolation(config: ContainerConfig) -> dict[str, Any]:
    security, spaces = config.security, config.namespaces
    masked = security.masked_paths if security.masked_paths is not None else MASKED
    readonly = security.readonly_paths if security.readonly_paths is not None else READONLY
    if security.privileged:
        masked, readonly = (), ()
    return {
        "CapAdd": list(security.cap_add) or None,
        "CapDrop": list(security.cap_drop) or None,
        "CgroupnsMode": spaces.cgroup,
        "IpcMode": spaces.ipc,
        "PidMode": "" if spaces.pid == "private" else spaces.pid,
        "UTSMode": "" if spaces.uts == "private" else spaces.uts,
        "UsernsMode": "",
        "Cgroup": "",
        "Privileged": security.privileged,
        "ReadonlyRootfs": security.readonly_rootfs,
        "SecurityOpt": _security_options(security) or None,
        "MaskedPaths": list(masked) or None,
        "ReadonlyPaths": list(readonly) or None,
    }


def _security_options(security: Security) -> list[str]:
    options = ["no-new-privileges"] if security.no_new_privileges else []
    if security.seccomp != "default":
        options.append(f"seccomp={security.seccomp}")
    if security.apparmor:
        options.append(f"apparmor={security.apparmor}")
    if security.selinux_label:
        options.append(f"label={security.selinux_label}")
    return options


def _limits(config: ContainerConfig) -> dict[str, Any]:
    limits = config.resources
    return {
        "CpuShares": limits.cpu_shares or 0,
        "Memory": limits.memory or 0,
        "NanoCpus": limits.nano_cpus or 0,
        "CgroupParent": config.cgroup_parent,
        "BlkioWeight": limits.blkio_weight or 0,
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": [],
        "BlkioDeviceWriteBps": [],
        "BlkioDeviceReadIOps": [],
        "BlkioDeviceWriteIOps": [],
        "CpuPeriod": limits.cpu_period or 0,
        "CpuQuota": limits.cpu_quota or 0,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": limits.cpuset_cpus,
        "CpusetMems": limits.cpuset_mems,
        "Devices": [
            {
                "PathOnHost": device.host_path,
                "PathInContainer": device.container_path or device.host_path,
                "CgroupPermissions": device.access,
            }
            for device in config.devices
        ],
        "DeviceCgroupRules": list(config.device_rules) or None,
        "DeviceRequests": None,
        "MemoryReservation": limits.memory_reservation or 0,
        "MemorySwap": limits.memory_swap or 0,
        "MemorySwappiness": limits.memory_swappiness,
        "OomKillDisable": limits.oom_kill_disable or False,
        "PidsLimit": limits.pids_limit,
        "Ulimits": [
            {"Name": limit.name, "Soft": limit.soft, "Hard": limit.hard} for limit in config.ulimits
        ],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }
