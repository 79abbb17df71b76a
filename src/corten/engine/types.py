"""The engine's own types: what faces translate into and out of.

All are immutable and serialise to JSON by msgspec (database rows, the native protocol).
Times are nanoseconds since the epoch, sizes bytes, durations seconds where a name does
not say otherwise. Empty strings and zeros mean "not given" unless a field says more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Tenant = Literal["docker", "k8s"]
Status = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the engine's types."""


# --- what a caller asks for -------------------------------------------------------------


class PortBinding(Record, frozen=True, kw_only=True):
    """One published port. ``host_port`` 0 lets the engine choose."""

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0
    host_port_end: int = 0  # of a range from which the first free one is taken


class NetworkRequest(Record, frozen=True, kw_only=True):
    """How a container is to be connected to one network; see ``networks.types.Wanted``."""

    network: str  # name or id
    aliases: tuple[str, ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    mac_address: str = ""
    priority: int = 0  # the highest has the default route; among equals the first name
    driver_options: dict[str, str] = {}  # nobody heeds them; they are shown
    links: tuple[str, ...] = ()  # "TARGET:ALIAS": names for this container alone


class MountRequest(Record, frozen=True, kw_only=True):
    """A mount of the user's: ``bind`` (host path), ``tmpfs`` or ``volume`` (``source`` is its
    name; in a container's record it is never empty).

    Fields:
        mode: the options as the user wrote them, for those who show them.
        no_copy: an empty volume does not get what the image has at ``target``.
        subpath: below the volume; it can't lead out.
        anonymous: the volume was made for a container and has no name of the user's.
        driver, driver_options, labels: of a volume that is made by the mount.
    """

    type: str
    target: str
    source: str = ""
    read_only: bool = False
    recursive_read_only: bool = False
    propagation: str = ""
    options: tuple[str, ...] = ()
    create_source: bool = False  # `docker -v` makes a missing host directory, --mount doesn't
    selinux_relabel: bool = False
    mode: str = ""
    no_copy: bool = False
    subpath: str = ""
    anonymous: bool = False
    driver: str = ""
    driver_options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class DeviceRequest(Record, frozen=True, kw_only=True):
    """A host device made available inside; ``access`` as in ``rwm``."""

    host_path: str
    container_path: str = ""
    access: str = "rwm"


class Ulimit(Record, frozen=True, kw_only=True):
    name: str  # without RLIMIT_, lower case
    soft: int
    hard: int


class Resources(Record, frozen=True, kw_only=True):
    """Limits; ``None`` leaves the kernel's default (0 is a value for some)."""

    memory: int | None = None
    memory_swap: int | None = None
    memory_reservation: int | None = None
    memory_swappiness: int | None = None
    oom_kill_disable: bool | None = None
    nano_cpus: int | None = None
    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int | None = None
    blkio_weight: int | None = None
    hugepage_limits: dict[str, int] = {}
    unified: dict[str, str] = {}


class RestartPolicy(Record, frozen=True, kw_only=True):
    name: str = "no"
    maximum_retry_count: int = 0


class Changes(Record, frozen=True, kw_only=True):
    """What an update changes; of ``resources`` the fields that are set."""

    resources: Resources | None = None
    restart: RestartPolicy | None = None


class HealthConfig(Record, frozen=True, kw_only=True):
    test: tuple[str, ...] = ()
    interval: float = 0
    timeout: float = 0
    start_period: float = 0
    start_interval: float = 0
    retries: int = 0


class LogConfig(Record, frozen=True, kw_only=True):
    """``json-file`` and ``none`` for Docker, ``cri`` (with ``path``) for the kubelet."""

    driver: str = "json-file"
    options: dict[str, str] = {}
    path: str = ""


class Security(Record, frozen=True, kw_only=True):
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    no_new_privileges: bool = False
    seccomp: str = "default"  # "default", "unconfined", or a profile's JSON text
    apparmor: str = ""
    selinux_label: str = ""
    masked_paths: tuple[str, ...] | None = None  # None: the defaults
    readonly_paths: tuple[str, ...] | None = None
    readonly_rootfs: bool = False


class Namespaces(Record, frozen=True, kw_only=True):
    """``private``, ``host``, ``pod`` (the pod's), ``container:ID``; network also a network's name.

    For ``network``: ``none``, ``host``, ``default``/``bridge``, ``container:ID``, ``pod``, or
    the name or id of a network that somebody made.
    """

    network: str = "default"
    pid: str = "private"
    ipc: str = "private"
    uts: str = "private"
    cgroup: str = "private"
    user: str = "host"


class ContainerConfig(Record, frozen=True, kw_only=True):
    """Everything a container is made from."""

    image: str  # as the user named it: reference, id or digest
    hostname: str = ""
    domainname: str = ""
    user: str = ""
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None  # None: the image's; (): none (Docker: [""] resets)
    cmd: tuple[str, ...] | None = None  # None: the image's, unless entrypoint is given
    working_dir: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    stop_signal: str = ""
    stop_timeout: int | None = None
    exposed_ports: tuple[str, ...] = ()  # "80/tcp"
    ports: tuple[PortBinding, ...] = ()
    publish_all: bool = False
    mounts: tuple[MountRequest, ...] = ()
    volumes: tuple[str, ...] = ()  # places that get an anonymous volume, the image's too
    volumes_from: tuple[str, ...] = ()  # containers, each with ":ro" or ":rw" behind it or not
    devices: tuple[DeviceRequest, ...] = ()
    device_rules: tuple[str, ...] = ()  # what else may be used, as "c 13:* rwm"
    ulimits: tuple[Ulimit, ...] = ()
    sysctls: dict[str, str] = {}
    resources: Resources = Resources()
    security: Security = Security()
    namespaces: Namespaces = Namespaces()
    restart: RestartPolicy = RestartPolicy()
    health: HealthConfig | None = None
    log: LogConfig = LogConfig()
    auto_remove: bool = False
    init: bool = False
    runtime: str = ""  # "": the native one; "runc", "runsc", or a name from config.toml
    shm_size: int = 64 << 20
    oom_score_adj: int = 0
    group_add: tuple[str, ...] = ()
    supplemental_groups: Literal["", "merge", "strict"] = ""  # see spec.runtime.User
    cgroup_parent: str = ""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    links: tuple[str, ...] = ()  # "TARGET:ALIAS" on the default bridge, by /etc/hosts
    mac_address: str = ""
    # Of a new container those besides the one of ``namespaces``, and more about that; then
    # all of them. None: that one alone.
    networks: tuple[NetworkRequest, ...] | None = None
    console_size: tuple[int, int] | None = None  # rows, columns


class ExecConfig(Record, frozen=True, kw_only=True):
    """An additional process in a running container."""

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    tty: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach_keys: str = ""
    privileged: bool = False
    console_size: tuple[int, int] | None = None


class Identity(Record, frozen=True, kw_only=True):
    """Whom a process runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


class PodConfig(Record, frozen=True, kw_only=True):
    """A Kubernetes pod sandbox (CRI ``PodSandboxConfig``), or a pod of our own."""

    name: str
    uid: str = ""
    namespace: str = "default"
    attempt: int = 0
    hostname: str = ""
    log_directory: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    dns_servers: tuple[str, ...] = ()
    dns_searches: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    ports: tuple[PortBinding, ...] = ()
    cgroup_parent: str = ""
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_pid: bool = False
    sysctls: dict[str, str] = {}
    security: Security = Security()
    runtime: str = ""


# --- what there is ----------------------------------------------------------------------


class HealthResult(Record, frozen=True, kw_only=True):
    """One health check; ``exit_code`` -1: it could not run, or took too long."""

    start: int
    end: int
    exit_code: int
    output: str = ""


class Health(Record, frozen=True, kw_only=True):
    """What the health checks of a run say so far."""

    status: Literal["starting", "healthy", "unhealthy"]
    failing_streak: int = 0
    log: tuple[HealthResult, ...] = ()  # the last five


class State(Record, frozen=True, kw_only=True):
    """Run state of a container."""

    status: Status = "created"
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    reason: str = ""  # "", "oom", "monitor-lost", "reboot"
    oom_killed: bool = False
    started_at: int = 0
    finished_at: int = 0
    restarting: bool = False
    boot_id: str = ""
    health: Health | None = None  # None: nothing is checked


class Endpoint(Record, frozen=True, kw_only=True):
    """One attachment of a container or pod to a network."""

    network: str
    network_id: str = ""
    endpoint_id: str = ""
    interface: str = "eth0"
    mac_address: str = ""
    ipv4: str = ""  # address
    ipv4_prefix: int = 0
    gateway4: str = ""
    ipv6: str = ""
    ipv6_prefix: int = 0
    gateway6: str = ""
    dns_names: tuple[str, ...] = ()
    ports: tuple[PortBinding, ...] = ()  # as bound: every host_port is set


class StepTime(Record, frozen=True, kw_only=True):
    """How long one step of a start took."""

    step: str
    microseconds: int


class Container(Record, frozen=True, kw_only=True):
    """A container's record: one committed state, never a half one."""

    id: str  # 64 hex digits
    tenant: Tenant
    name: str
    config: ContainerConfig
    image_ref: str
    image_id: str
    created_at: int
    state: State = State()
    pod_id: str = ""
    attempt: int = 0
    path: str = ""  # resolved program
    args: tuple[str, ...] = ()
    log_path: str = ""
    hostname_path: str = ""
    hosts_path: str = ""
    resolv_path: str = ""
    restart_count: int = 0  # by its policy, since somebody started it
    stopped: bool = False  # by somebody, who does not want it started again
    endpoints: tuple[Endpoint, ...] = ()
    steps: tuple[StepTime, ...] = ()  # of the last start
    snapshotter: str = ""
    origin: dict[str, Any] = {}  # what the face was given, for faces that must repeat it


class Exec(Record, frozen=True, kw_only=True):
    """An exec and, after its end, its exit code (kept until the container goes)."""

    id: str
    container_id: str
    config: ExecConfig
    running: bool = False
    started: bool = False
    pid: int = 0
    exit_code: int | None = None


class Pod(Record, frozen=True, kw_only=True):
    id: str
    tenant: Tenant
    config: PodConfig
    created_at: int
    ready: bool = False
    netns_path: str = ""
    ips: tuple[str, ...] = ()
    cni_result: dict[str, Any] = {}
    pid: int = 0  # of the reaper where the pod shares a PID namespace
    reason: str = ""
    boot_id: str = ""


class Image(Record, frozen=True, kw_only=True):
    """An image as a tenant sees it; identity as in the design ("Image identity")."""

    id: str  # digest of the config
    tags: tuple[str, ...] = ()  # canonical references "docker.io/library/redis:7"
    digests: tuple[str, ...] = ()  # "docker.io/library/redis@sha256:…"
    created_at: int = 0
    size: int = 0
    architecture: str = ""
    os: str = "linux"
    variant: str = ""
    config: dict[str, Any] = {}  # the image configuration, whole
    layers: tuple[str, ...] = ()  # diff ids
    pinned: bool = False
    tenant: str = ""  # of a shared image: whose it is


class Volume(Record, frozen=True, kw_only=True):
    """Files that outlive the containers which use them.

    Fields:
        options: the local driver's: ``type``, ``device``, ``o`` of a mount; none: a directory.
        path: where the files lie on the host (with options: where docker would mount them).
        anonymous: made for a container that named none; goes with it under ``--rm``.
        used_by: ids of containers, running or not; filled in where it is listed.
    """

    name: str
    tenant: Tenant
    created_at: int
    path: str
    driver: str = "local"
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    anonymous: bool = False
    used_by: tuple[str, ...] = ()


class HistoryEntry(Record, frozen=True, kw_only=True):
    """One step of how an image came to be, newest first.

    Fields:
        id: the image's, where the step made one that is here; else empty.
        created: nanoseconds since the epoch. size: bytes of the step's layer.
    """

    id: str = ""
    created: int = 0
    created_by: str = ""
    comment: str = ""
    tags: tuple[str, ...] = ()
    size: int = 0


class ImageUsage(Record, frozen=True, kw_only=True):
    """What ``df`` tells of an image: bytes of layers that others have too, and its containers."""

    id: str
    shared: int = 0
    containers: int = 0


class ContainerUsage(Record, frozen=True, kw_only=True):
    """Bytes that a container wrote, and of its whole root file system."""

    id: str
    writable: int = 0
    root: int = 0


class DiskUsage(Record, frozen=True, kw_only=True):
    """What takes space: bytes of all layers once, of all packed blobs, and who has how much."""

    layers: int = 0
    blobs: int = 0
    images: tuple[ImageUsage, ...] = ()
    containers: tuple[ContainerUsage, ...] = ()


class PruneFilter(Record, frozen=True, kw_only=True):
    """What may be pruned.

    Fields:
        until: only what was made before (nanoseconds since the epoch); 0: all.
        labels: ``KEY`` or ``KEY=VALUE``, all of which it must have.
        without: likewise, none of which it may have.
    """

    until: int = 0
    labels: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def passes(self, created_at: int, labels: Mapping[str, str]) -> bool:
        """Whether an object may go."""
        if self.until and created_at >= self.until:
            return False
        return all([_labelled(labels, one) for one in self.labels]) and not any(
            [_labelled(labels, one) for one in self.without]
        )


def _labelled(labels: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


class Pruned(Record, frozen=True, kw_only=True):
    """What a prune did: (``untag`` or ``delete``, name or id), and bytes that are free now."""

    removed: tuple[tuple[str, str], ...] = ()
    space: int = 0


class Event(Record, frozen=True, kw_only=True):
    """One change of state; written in the transaction that made it."""

    seq: int
    time: int
    monotonic: int
    boot_id: str
    tenant: str
    type: str  # container, image, pod, network, volume, exec, daemon
    action: str  # Docker's words: create, start, die, stop, kill, destroy, pull, …
    id: str
    attributes: dict[str, str] = {}


class ExitStatus(Record, frozen=True, kw_only=True):
    code: int
    error: str = ""
    oom_killed: bool = False
    finished_at: int = 0


class Stats(Record, frozen=True, kw_only=True):
    """What a container uses at a moment.

    Fields:
        counters: as ``corten.cgroups`` gives them; empty where it does not run.
        networks: by interface: ``rx_bytes``, ``tx_packets`` and the like.
        system_ns: processor time of the whole machine so far.
        host_memory: bytes.
    """

    id: str
    name: str
    read_at: int
    system_ns: int
    cpus: int
    host_memory: int
    counters: dict[str, Any] = {}
    networks: dict[str, dict[str, int]] = {}


class LogLine(Record, frozen=True, kw_only=True):
    """One line (or part of one) of a container's log."""

    time: int
    stream: Literal["stdout", "stderr"]
    data: bytes
    partial: bool = False


class Progress(Record, frozen=True, kw_only=True):
    """One step of a pull or of another long work."""

    id: str  # a layer's short digest, or "" for the whole
    status: str  # Docker's words: "Downloading", "Extracting", "Pull complete", …
    current: int = 0
    total: int = 0


class Auth(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials for a registry. Never logged: ``repr`` hides them."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        return "Auth(…)"
