"""The runtime configuration (config.json, runtime-spec 1.0 to 1.3 for Linux) as records, apart
from what checks it (:mod:`corten.spec.runtime`): a container's init needs the records alone.
"""

from __future__ import annotations

from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class IdMapping(Struct):
    container_id: int
    host_id: int
    size: int


class Namespace(Struct):
    """A namespace to make (``path`` empty) or to join."""

    type: str
    path: str = ""


class User(Struct):
    """Who the process is.

    ``username`` and ``group_names`` are an extension that the engine uses instead of numbers:
    Docker's ``USER[:GROUP]`` and ``--group-add``, names or numbers, resolved by the process
    itself against the files of the container. ``username`` None: the numbers count.
    ``groups_policy``: whether the groups that the container's ``/etc/group`` gives the user are
    taken: ``""`` as under Docker (unless a GROUP is named), ``merge`` always, ``strict`` never.
    """

    uid: int = 0
    gid: int = 0
    umask: int | None = None
    additional_gids: tuple[int, ...] = ()
    username: str | None = None
    group_names: tuple[str, ...] = ()
    groups_policy: str = ""


class Rlimit(Struct):
    type: str
    soft: int
    hard: int


class Capabilities(Struct):
    """Names with ``CAP_``, as the configuration gives them."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


class Scheduler(Struct):
    policy: str
    nice: int = 0
    priority: int = 0
    flags: tuple[str, ...] = ()
    has_runtime: bool = True  # even where it is 0
    runtime: int = 0  # nanoseconds, as the two below
    deadline: int = 0
    period: int = 0


class IoPriority(Struct):
    io_class: str
    priority: int = 0


class Process(Struct):
    args: tuple[str, ...]
    cwd: str
    env: tuple[str, ...] = ()
    terminal: bool = False
    console_size: tuple[int, int] | None = None  # rows, columns
    user: User = User()
    rlimits: tuple[Rlimit, ...] = ()
    capabilities: Capabilities | None = None  # None: nothing was said, all are kept
    no_new_privileges: bool = False
    apparmor_profile: str = ""
    selinux_label: str = ""
    oom_score_adj: int | None = None
    scheduler: Scheduler | None = None
    io_priority: IoPriority | None = None
    cpu_affinity_initial: str = ""
    cpu_affinity_final: str = ""
    reaper: bool = False  # "x-corten-init", ours: PID 1 reaps, the program is its child


class ConfigMount(Struct):
    """``subpath`` is no part of the specification (the member ``x-corten-subpath``): what is
    bound lies there inside of ``source``, whose owner may be hostile."""

    destination: str
    source: str = ""
    subpath: str = ""
    type: str = ""
    options: tuple[str, ...] = ()
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()


class Device(Struct):
    path: str
    type: str
    major: int = 0
    minor: int = 0
    file_mode: int = 0o666
    uid: int = 0
    gid: int = 0


class Hook(Struct):
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] | None = None  # None: nothing was said, the runtime's own
    timeout: int | None = None  # seconds


class TimeOffset(Struct):
    clock: str  # monotonic, boottime
    secs: int = 0
    nanosecs: int = 0


class MemoryPolicy(Struct):
    """A NUMA policy (set_mempolicy(2)): ``nodes`` is a list such as ``0-2,4``."""

    mode: str
    nodes: str = ""
    flags: tuple[str, ...] = ()


class Linux(Struct):
    namespaces: tuple[Namespace, ...] = ()
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    time_offsets: tuple[TimeOffset, ...] = ()
    devices: tuple[Device, ...] = ()
    cgroups_path: str = ""
    resources: dict[str, Any] | None = None
    sysctl: dict[str, str] = {}
    seccomp: dict[str, Any] | None = None
    rootfs_propagation: str = ""
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    mount_label: str = ""
    personality: str = ""
    memory_policy: MemoryPolicy | None = None

    def namespace(self, kind: str) -> Namespace | None:
        """The entry for one type of namespace; None: the runtime's own is shared."""
        for entry in self.namespaces:
            if entry.type == kind:
                return entry
        return None


class Config(Struct):
    version: str
    root_path: str
    root_readonly: bool
    process: Process | None
    hostname: str
    domainname: str
    mounts: tuple[ConfigMount, ...]
    hooks: dict[str, tuple[Hook, ...]]
    annotations: dict[str, str]
    linux: Linux

    @property
    def shares_mounts(self) -> bool:
        """No mount namespace of its own: what is mounted for it, the host sees."""
        return self.linux.namespace("mount") is None
