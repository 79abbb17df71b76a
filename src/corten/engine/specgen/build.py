"""The whole OCI runtime configuration of a container."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from corten.engine.specgen import capabilities, devices, mounts, namespaces, process, resources
from corten.engine.specgen.devices import HostDevice
from corten.engine.types import Container, ContainerConfig, DeviceRequest, Volume
from corten.errors import InvalidArgument

OCI_VERSION = "1.2.0"

MASKED = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

# Docker's: an unprivileged user of a container may bind low ports and send pings.
_NET_SYSCTLS = {
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
}


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What the record does not tell: facts of the host and what was prepared.

    Fields:
        cgroup: ``linux.cgroupsPath``.
        rootfs: ``root.path``.
        capabilities: those the daemon can give.
        files: (path inside, path on the host) of the files we bind.
        devices: the nodes of the configuration's device requests, in their order.
        host_devices: all of the host's, for privileged containers.
        swap_accounting: the kernel can limit swap.
        shm: directory for ``/dev/shm`` where the IPC namespace is shared.
        host_hostname: what the host is called.
        volumes: those that the container uses, by name.
    """

    cgroup: str
    rootfs: str
    capabilities: Collection[str]
    files: Sequence[tuple[str, str]] = ()
    devices: Sequence[HostDevice] = ()
    host_devices: Sequence[HostDevice] = ()
    swap_accounting: bool = False
    shm: str = ""
    host_hostname: str = ""
    volumes: Mapping[str, Volume] = {}


def hostname(record: Container, host_hostname: str) -> str:
    """The container's host name."""
    if record.config.namespaces.uts == "host":
        return host_hostname
    return record.config.hostname or record.id[:12]


def build(record: Container, around: Surroundings) -> dict[str, Any]:
    """``config.json`` for a container whose configuration is merged with its image's.

    Raises:
        InvalidArgument, Unimplemented: the configuration asks for what can't be.
    """
    config = record.config
    caps = capabilities.granted(config.security, around.capabilities)
    name = hostname(record, around.host_hostname)
    document: dict[str, Any] = {
        "ociVersion": OCI_VERSION,
        "process": process.container_process(config, hostname=name, capabilities=caps),
        "root": {"path": around.rootfs, "readonly": config.security.readonly_rootfs},
        "mounts": mounts.all_mounts(
            config,
            files=around.files,
            host_ipc_shm=around.shm,
            user_ns=False,
            volumes=around.volumes,
        ),
        "linux": _linux(config, around),
    }
    if config.init:
        document["process"]["x-corten-init"] = True
    if config.namespaces.uts in ("private", ""):
        document["hostname"] = name
        if config.domainname:
            document["domainname"] = config.domainname
    if config.annotations:
        document["annotations"] = dict(config.annotations)
    return document


def validate(record: Container, around: Surroundings) -> None:
    """Raise what :func:`build` would, at the time of the create."""
    build(record, around)


def _linux(config: ContainerConfig, around: Surroundings) -> dict[str, Any]:
    security = config.security
    asked = list(zip(config.devices, around.devices, strict=True))
    limits = resources.linux_resources(config.resources, swap_accounting=around.swap_accounting)
    limits["devices"] = devices.device_rules(
        asked, config.device_rules, privileged=security.privileged
    )
    document: dict[str, Any] = {
        "namespaces": namespaces.linux_namespaces(config.namespaces),
        "cgroupsPath": around.cgroup,
        "resources": limits,
        "sysctl": _sysctls(config),
        "maskedPaths": _paths(security.masked_paths, MASKED, security.privileged),
        "readonlyPaths": _paths(security.readonly_paths, READONLY, security.privileged),
    }
    nodes = devices.device_nodes(asked, around.host_devices if security.privileged else ())
    if nodes:
        document["devices"] = nodes
    if security.selinux_label:
        document["mountLabel"] = security.selinux_label
    propagation = mounts.root_propagation(config)
    if propagation:
        document["rootfsPropagation"] = propagation
    return {name: part for name, part in document.items() if part}


def _paths(given: tuple[str, ...] | None, default: tuple[str, ...], privileged: bool) -> list[str]:
    if given is not None:
        return list(given)
    return [] if privileged else list(default)


def _sysctls(config: ContainerConfig) -> dict[str, str]:
    for name in config.sysctls:
        kind = _sysctl_namespace(name)
        if kind == "":
            raise InvalidArgument(f"sysctl '{name}' is not allowed: it is not namespaced")
        if getattr(config.namespaces, kind) == "host":
            raise InvalidArgument(f"sysctl '{name}' not allowed in host {kind} namespace")
    if namespaces.own_network(config.namespaces):
        return {**_NET_SYSCTLS, **config.sysctls}
    return dict(config.sysctls)


_IPC_SYSCTLS = (
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
)


def _sysctl_namespace(name: str) -> str:
    """The field of Namespaces that a sysctl belongs to, empty if it is the whole host's."""
    if name in _IPC_SYSCTLS or name.startswith("fs.mqueue."):
        return "ipc"
    if name.startswith("net."):
        return "network"
    return "uts" if name == "kernel.domainname" else ""


def requested_paths(config: ContainerConfig) -> list[DeviceRequest]:
    """Device requests whose nodes the caller must look up for ``Surroundings.devices``."""
    return list(config.devices)
