"""Bodies of requests, as clients send them: every field may be missing or null.

Unknown fields are passed over, as dockerd does; what is known and not offered is refused
in :mod:`corten.dockerapi.refusals`, never dropped.
"""

from __future__ import annotations

from typing import Any

import msgspec


class _Body(msgspec.Struct, rename="pascal", kw_only=True):
    """Base: fields in Go's spelling."""


class Health(_Body):
    """``Healthcheck``; durations in nanoseconds."""

    test: list[str] | None = None
    interval: int | None = None
    timeout: int | None = None
    start_period: int | None = None
    start_interval: int | None = None
    retries: int | None = None


class HostPort(_Body):
    host_ip: str | None = None
    host_port: str | None = None


class Restart(_Body):
    name: str | None = None
    maximum_retry_count: int | None = None


class Log(_Body):
    type: str | None = None
    config: dict[str, str] | None = None


class Device(_Body):
    path_on_host: str = ""
    path_in_container: str | None = None
    cgroup_permissions: str | None = None


class Limit(_Body):
    """One of ``Ulimits``."""

    name: str = ""
    soft: int = 0
    hard: int = 0


class BindOptions(_Body):
    propagation: str | None = None
    non_recursive: bool | None = None
    create_mountpoint: bool | None = None
    read_only_non_recursive: bool | None = None
    read_only_force_recursive: bool | None = None


class TmpfsOptions(_Body):
    size_bytes: int | None = None
    mode: int | None = None
    options: list[list[str]] | None = None


class DriverConfig(_Body):
    name: str | None = None
    options: dict[str, str] | None = None


class VolumeOptions(_Body):
    no_copy: bool | None = None
    labels: dict[str, str] | None = None
    driver_config: DriverConfig | None = None
    subpath: str | None = None


class Mount(_Body):
    """One of ``Mounts`` (``docker run --mount``)."""

    type: str | None = None
    source: str | None = None
    target: str | None = None
    read_only: bool | None = None
    consistency: str | None = None
    bind_options: BindOptions | None = None
    tmpfs_options: TmpfsOptions | None = None
    volume_options: VolumeOptions | None = None


class HostConfig(_Body):
    """What of a container depends on the host."""

    # limits
    cpu_shares: int | None = None
    memory: int | None = None
    nano_cpus: int | None = None
    cgroup_parent: str | None = None
    blkio_weight: int | None = None
    blkio_weight_device: list[Any] | None = None
    blkio_device_read_bps: list[Any] | None = None
    blkio_device_write_bps: list[Any] | None = None
    blkio_device_read_iops: list[Any] | None = msgspec.field(
        default=None, name="BlkioDeviceReadIOps"
    )
    blkio_device_write_iops: list[Any] | None = msgspec.field(
        default=None, name="BlkioDeviceWriteIOps"
    )
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpu_realtime_period: int | None = None
    cpu_realtime_runtime: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    devices: list[Device] | None = None
    device_cgroup_rules: list[str] | None = None
    device_requests: list[Any] | None = None
    memory_reservation: int | None = None
    memory_swap: int | None = None
    memory_swappiness: int | None = None
    oom_kill_disable: bool | None = None
    pids_limit: int | None = None
    ulimits: list[Limit] | None = None
    # the rest
    binds: list[str] | None = None
    log_config: Log | None = None
    network_mode: str | None = None
    port_bindings: dict[str, list[HostPort] | None] | None = None
    restart_policy: Restart | None = None
    auto_remove: bool | None = None
    volume_driver: str | None = None
    volumes_from: list[str] | None = None
    mounts: list[Mount] | None = None
    console_size: list[int] | None = None
    annotations: dict[str, str] | None = None
    cap_add: list[str] | None = None
    cap_drop: list[str] | None = None
    cgroupns_mode: str | None = None
    dns: list[str] | None = None
    dns_options: list[str] | None = None
    dns_search: list[str] | None = None
    extra_hosts: list[str] | None = None
    group_add: list[str] | None = None
    ipc_mode: str | None = None
    cgroup: str | None = None
    links: list[str] | None = None
    oom_score_adj: int | None = None
    pid_mode: str | None = None
    privileged: bool | None = None
    publish_all_ports: bool | None = None
    readonly_rootfs: bool | None = None
    security_opt: list[str] | None = None
    storage_opt: dict[str, str] | None = None
    tmpfs: dict[str, str] | None = None
    uts_mode: str | None = msgspec.field(default=None, name="UTSMode")
    userns_mode: str | None = None
    shm_size: int | None = None
    sysctls: dict[str, str] | None = None
    runtime: str | None = None
    isolation: str | None = None
    init: bool | None = None
    masked_paths: list[str] | None = None
    readonly_paths: list[str] | None = None


class Ipam(_Body):
    ipv4_address: str | None = msgspec.field(default=None, name="IPv4Address")
    ipv6_address: str | None = msgspec.field(default=None, name="IPv6Address")
    link_local_ips: list[str] | None = msgspec.field(default=None, name="LinkLocalIPs")


class Endpoint(_Body):
    """How to join one network."""

    ipam_config: Ipam | None = msgspec.field(default=None, name="IPAMConfig")
    links: list[str] | None = None
    aliases: list[str] | None = None
    mac_address: str | None = None
    driver_opts: dict[str, str] | None = None
    gw_priority: int | None = None


class IpamConfig(_Body):
    """One subnet of a network that is made."""

    subnet: str | None = None
    ip_range: str | None = msgspec.field(default=None, name="IPRange")
    gateway: str | None = None
    aux_addresses: dict[str, str] | None = msgspec.field(default=None, name="AuxiliaryAddresses")
    aux_address: dict[str, str] | None = msgspec.field(default=None, name="AuxAddress")


class IpamBody(_Body):
    driver: str | None = None
    config: list[IpamConfig] | None = None
    options: dict[str, str] | None = None


class NetworkBody(_Body):
    """``POST /networks/create``."""

    name: str = ""
    check_duplicate: bool | None = None
    driver: str | None = None
    scope: str | None = None
    internal: bool | None = None
    attachable: bool | None = None
    ingress: bool | None = None
    config_only: bool | None = None
    config_from: dict[str, str] | None = None
    ipam: IpamBody | None = msgspec.field(default=None, name="IPAM")
    enable_ipv6: bool | None = msgspec.field(default=None, name="EnableIPv6")
    enable_ipv4: bool | None = msgspec.field(default=None, name="EnableIPv4")
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class ConnectBody(_Body):
    """``POST /networks/{id}/connect``."""

    container: str = ""
    endpoint_config: Endpoint | None = None


class DisconnectBody(_Body):
    """``POST /networks/{id}/disconnect``."""

    container: str = ""
    force: bool | None = None


class Networking(_Body):
    endpoints_config: dict[str, Endpoint | None] | None = None


class CreateBody(_Body):
    """``POST /containers/create``."""

    hostname: str | None = None
    domainname: str | None = None
    user: str | None = None
    attach_stdin: bool | None = None
    attach_stdout: bool | None = None
    attach_stderr: bool | None = None
    exposed_ports: dict[str, Any] | None = None
    tty: bool | None = None
    open_stdin: bool | None = None
    stdin_once: bool | None = None
    env: list[str] | None = None
    cmd: list[str] | str | None = None
    healthcheck: Health | None = None
    image: str | None = None
    volumes: dict[str, Any] | None = None
    working_dir: str | None = None
    entrypoint: list[str] | str | None = None
    network_disabled: bool | None = None
    mac_address: str | None = None
    labels: dict[str, str] | None = None
    stop_signal: str | None = None
    stop_timeout: int | None = None
    host_config: HostConfig | None = None
    networking_config: Networking | None = None


class VolumeBody(_Body):
    """``POST /volumes/create``."""

    name: str | None = None
    driver: str | None = None
    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class ExecBody(_Body):
    """``POST /containers/{id}/exec``."""

    user: str | None = None
    privileged: bool | None = None
    tty: bool | None = None
    console_size: list[int] | None = None
    attach_stdin: bool | None = None
    attach_stdout: bool | None = None
    attach_stderr: bool | None = None
    detach_keys: str | None = None
    env: list[str] | None = None
    working_dir: str | None = None
    cmd: list[str] | str | None = None


class ExecStartBody(_Body):
    """``POST /exec/{id}/start``."""

    detach: bool | None = None
    tty: bool | None = None
    console_size: list[int] | None = None
