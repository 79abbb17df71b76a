"""Checking a runtime configuration (config.json, runtime-spec 1.0 to 1.3 for Linux).

``parse`` checks what can be checked without looking at the system: types, ranges, the
closed sets of the specification, what must be absolute, what excludes what. Members that
nothing here knows are ignored, as the specification demands ("Extensibility").
``linux.resources`` and ``linux.seccomp`` stay plain documents: their consumers
(``cgroups``, ``oci.seccomp``) own their meaning.
"""

from __future__ import annotations

from corten.errors import InvalidArgument, Unimplemented
from corten.spec._reader import Reader
from corten.spec.records import (
    Capabilities,
    Config,
    ConfigMount,
    Device,
    Hook,
    IdMapping,
    IoPriority,
    Linux,
    MemoryPolicy,
    Namespace,
    Process,
    Rlimit,
    Scheduler,
    TimeOffset,
    User,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "DEVICE_TYPES",
    "HOOK_KINDS",
    "NAMESPACE_TYPES",
    "PERSONALITY_DOMAINS",
    "PROPAGATIONS",
    "VERSION",
    "Capabilities",
    "Config",
    "ConfigMount",
    "Device",
    "Hook",
    "IdMapping",
    "IoPriority",
    "Linux",
    "MemoryPolicy",
    "Namespace",
    "Process",
    "Rlimit",
    "Scheduler",
    "TimeOffset",
    "User",
    "parse",
    "parse_process",
]

VERSION = "1.3.0"
NAMESPACE_TYPES = ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")
HOOK_KINDS = (
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
)
PROPAGATIONS = (
    "shared",
    "slave",
    "private",
    "unbindable",
    "rshared",
    "rslave",
    "rprivate",
    "runbindable",
)
DEVICE_TYPES = ("c", "b", "u", "p")
PERSONALITY_DOMAINS = ("LINUX", "LINUX32")

_U32 = 0xFFFFFFFF
_U64 = 0xFFFFFFFFFFFFFFFF
_I64 = 0x7FFFFFFFFFFFFFFF
# (uid_t) -1 means "leave as it is" to the kernel, so it names nobody.
_MAX_ID = _U32 - 1


def parse(config: dict[str, Any]) -> Config:
    """Check a decoded config.json.

    Raises:
        InvalidArgument: ``path`` names the member, as ``process.rlimits[0].type``.
        Unimplemented: a member that changes what a container is and that is not offered.
    """
    reader = Reader(config)
    version = reader.text("ociVersion", None)
    if version.partition(".")[0] != "1":
        raise reader.fail("ociVersion", f"is {version}, this runtime implements 1.x")
    root = reader.object("root")
    annotations = reader.text_map("annotations")
    if "" in annotations:
        raise reader.fail("annotations", "has an empty key")
    parsed = Config(
        version=version,
        root_path=root.text("path", None) if reader.has("root") else "",
        root_readonly=root.flag("readonly"),
        process=parse_process(config["process"]) if reader.has("process") else None,
        hostname=reader.text("hostname"),
        domainname=reader.text("domainname"),
        mounts=tuple([_mount(item) for item in reader.objects("mounts")]),
        hooks=_hooks(reader.object("hooks")),
        annotations=annotations,
        linux=_linux(reader.object("linux")),
    )
    _check_together(parsed)
    return parsed


def parse_process(process: Any) -> Process:
    """Check a ``process`` object (config.md, "Process"), as an exec gets it too."""
    reader = Reader(process, "process")
    args = reader.texts("args")
    if not args or not args[0]:
        raise reader.fail("args", "names no program")
    cwd = reader.text("cwd", None)
    if not cwd.startswith("/"):
        raise reader.fail("cwd", f"is not absolute: {cwd}")
    size = reader.object("consoleSize")
    rows, columns = (size.whole(n, 0, low=0, high=0xFFFF) for n in ("height", "width"))
    adjustment: int | None = None
    if reader.has("oomScoreAdj"):
        adjustment = reader.whole("oomScoreAdj", low=-1000, high=1000)
    affinity = reader.object("execCPUAffinity")
    return Process(
        args=args,
        cwd=cwd,
        env=reader.texts("env"),
        terminal=reader.flag("terminal"),
        console_size=(rows, columns) if rows and columns else None,
        user=_user(reader.object("user")),
        rlimits=_rlimits(reader),
        capabilities=_capabilities(reader),
        no_new_privileges=reader.flag("noNewPrivileges"),
        reaper=reader.flag("x-corten-init"),
        apparmor_profile=reader.text("apparmorProfile"),
        selinux_label=reader.text("selinuxLabel"),
        oom_score_adj=adjustment,
        scheduler=_scheduler(reader.object("scheduler")) if reader.has("scheduler") else None,
        io_priority=_io_priority(reader.object("ioPriority")) if reader.has("ioPriority") else None,
        cpu_affinity_initial=affinity.text("initial"),
        cpu_affinity_final=affinity.text("final"),
    )


def _user(reader: Reader) -> User:
    return User(
        uid=reader.whole("uid", low=0, high=_MAX_ID),
        gid=reader.whole("gid", low=0, high=_MAX_ID),
        umask=reader.whole("umask", low=0, high=0o777) if reader.has("umask") else None,
        additional_gids=reader.wholes("additionalGids", low=0, high=_MAX_ID),
        # the specification has username for Windows alone; beside a uid it is not ours
        username=None
        if reader.has("uid") or not reader.has("username")
        else reader.text("username"),
        group_names=reader.texts("additionalGroupNames"),
        groups_policy=reader.text("supplementalGroupsPolicy"),
    )


def _rlimits(reader: Reader) -> tuple[Rlimit, ...]:
    limits: list[Rlimit] = []
    for item in reader.objects("rlimits"):
        limit = Rlimit(
            type=item.text("type", None),
            soft=item.whole("soft", None, low=-1, high=_U64) & _U64,
            hard=item.whole("hard", None, low=-1, high=_U64) & _U64,
        )
        if any(limit.type == other.type for other in limits):
            raise item.fail("type", f"{limit.type} is there twice")
        if limit.soft > limit.hard:
            raise item.fail("soft", f"is {limit.soft}, above the hard limit {limit.hard}")
        limits.append(limit)
    return tuple(limits)


def _capabilities(reader: Reader) -> Capabilities | None:
    if not reader.has("capabilities"):
        return None
    sets = reader.object("capabilities")
    return Capabilities(**{name: sets.texts(name) for name in Capabilities._fields})


def _scheduler(reader: Reader) -> Scheduler:
    return Scheduler(
        policy=reader.text("policy", None),
        nice=reader.whole("nice", low=-20, high=19),
        priority=reader.whole("priority", low=0, high=99),
        flags=reader.texts("flags"),
        has_runtime=reader.has("runtime"),
        runtime=reader.whole("runtime", low=0, high=_U64),
        deadline=reader.whole("deadline", low=0, high=_U64),
        period=reader.whole("period", low=0, high=_U64),
    )


def _io_priority(reader: Reader) -> IoPriority:
    return IoPriority(
        io_class=reader.text("class", None), priority=reader.whole("priority", low=0, high=7)
    )


def _mappings(reader: Reader, name: str) -> tuple[IdMapping, ...]:
    return tuple(
        [
            IdMapping(
                container_id=item.whole("containerID", None, low=0, high=_MAX_ID),
                host_id=item.whole("hostID", None, low=0, high=_MAX_ID),
                size=item.whole("size", None, low=1, high=_U32),
            )
            for item in reader.objects(name)
        ]
    )


def _mount(reader: Reader) -> ConfigMount:
    destination = reader.text("destination", None)
    mount = ConfigMount(
        # relative ones are allowed since 1.2 and mean: below the root
        destination=destination if destination.startswith("/") else f"/{destination}",
        source=reader.text("source"),
        subpath=reader.text("x-corten-subpath"),
        type=reader.text("type"),
        options=reader.texts("options"),
        uid_mappings=_mappings(reader, "uidMappings"),
        gid_mappings=_mappings(reader, "gidMappings"),
    )
    if bool(mount.uid_mappings) != bool(mount.gid_mappings):
        raise reader.fail("uidMappings", "and gidMappings must be given together")
    return mount


def _device(reader: Reader) -> Device:
    kind = reader.choice("type", DEVICE_TYPES)
    path = reader.text("path", None)
    if not kind:
        raise reader.fail("type", "is missing")
    if not path.startswith("/"):
        raise reader.fail("path", f"is not absolute: {path}")
    return Device(
        path=path,
        type=kind,
        major=reader.whole("major", low=0, high=_U32),
        minor=reader.whole("minor", low=0, high=_U32),
        file_mode=reader.whole("fileMode", 0o666, low=0, high=0o177777) & 0o7777,
        uid=reader.whole("uid", low=0, high=_MAX_ID),
        gid=reader.whole("gid", low=0, high=_MAX_ID),
    )


def _hooks(reader: Reader) -> dict[str, tuple[Hook, ...]]:
    hooks: dict[str, tuple[Hook, ...]] = {}
    for kind in HOOK_KINDS:
        parsed = tuple([_hook(item) for item in reader.objects(kind)])
        if parsed:
            hooks[kind] = parsed
    return hooks


def _hook(reader: Reader) -> Hook:
    path = reader.text("path", None)
    if not path.startswith("/"):
        raise reader.fail("path", f"is not absolute: {path}")
    timeout = reader.whole("timeout", 0, low=0, high=_I64) if reader.has("timeout") else None
    if timeout == 0:
        raise reader.fail("timeout", "must be greater than zero")
    env = reader.texts("env") if reader.has("env") else None
    return Hook(path=path, args=reader.texts("args"), env=env, timeout=timeout)


def _linux(reader: Reader) -> Linux:
    for name in ("netDevices", "intelRdt"):
        if reader.data.get(name):
            where = reader.where(name)
            raise Unimplemented(f"{where} is not offered yet", path=where)
    personality = reader.object("personality")
    if personality.data.get("flags"):
        raise personality.fail("flags", "must be empty: the specification knows none")
    resources = reader.object("resources").data if reader.has("resources") else None
    seccomp = reader.object("seccomp").data if reader.has("seccomp") else None
    return Linux(
        namespaces=_namespaces(reader),
        uid_mappings=_mappings(reader, "uidMappings"),
        gid_mappings=_mappings(reader, "gidMappings"),
        time_offsets=_time_offsets(reader.object("timeOffsets")),
        devices=tuple([_device(item) for item in reader.objects("devices")]),
        cgroups_path=reader.text("cgroupsPath"),
        resources=resources,
        sysctl=reader.text_map("sysctl"),
        seccomp=seccomp,
        rootfs_propagation=reader.choice("rootfsPropagation", PROPAGATIONS),
        masked_paths=_absolute(reader, "maskedPaths"),
        readonly_paths=_absolute(reader, "readonlyPaths"),
        mount_label=reader.text("mountLabel"),
        personality=personality.choice("domain", PERSONALITY_DOMAINS, "LINUX")
        if reader.has("personality")
        else "",
        memory_policy=_memory_policy(reader.object("memoryPolicy"))
        if reader.has("memoryPolicy")
        else None,
    )


def _memory_policy(reader: Reader) -> MemoryPolicy:
    return MemoryPolicy(
        mode=reader.text("mode"), nodes=reader.text("nodes"), flags=reader.texts("flags")
    )


def _absolute(reader: Reader, name: str) -> tuple[str, ...]:
    paths = reader.texts(name)
    for i, path in enumerate(paths):
        if not path.startswith("/"):
            raise reader.fail(f"{name}[{i}]", f"is not absolute: {path}")
    return paths


def _namespaces(reader: Reader) -> tuple[Namespace, ...]:
    found: list[Namespace] = []
    for item in reader.objects("namespaces"):
        kind = item.choice("type", NAMESPACE_TYPES)
        path = item.text("path")
        if not kind:
            raise item.fail("type", "is missing")
        if any(kind == other.type for other in found):
            raise item.fail("type", f"{kind} is there twice")
        if path and not path.startswith("/"):
            raise item.fail("path", f"is not absolute: {path}")
        found.append(Namespace(type=kind, path=path))
    return tuple(found)


def _time_offsets(reader: Reader) -> tuple[TimeOffset, ...]:
    offsets = []
    for clock in reader.data:
        if clock not in ("monotonic", "boottime"):
            raise reader.fail(clock, "is no clock that a time namespace shifts")
        item = reader.object(clock)
        offsets.append(
            TimeOffset(
                clock=clock,
                secs=item.whole("secs", low=-_I64, high=_I64),
                nanosecs=item.whole("nanosecs", low=0, high=999_999_999),
            )
        )
    return tuple(offsets)


def _check_together(config: Config) -> None:
    """Rules that concern more than one member."""
    linux = config.linux

    def need(kind: str, what: str, wanted: object) -> None:
        if wanted and linux.namespace(kind) is None:
            raise InvalidArgument(f"{what} needs a {kind} namespace of its own", path=what)

    need("uts", "hostname", config.hostname)
    need("uts", "domainname", config.domainname)
    need("user", "linux.uidMappings", linux.uid_mappings or linux.gid_mappings)
    need("time", "linux.timeOffsets", linux.time_offsets)
    user = linux.namespace("user")
    if user is not None and not user.path and not (linux.uid_mappings and linux.gid_mappings):
        raise InvalidArgument(
            "a new user namespace needs linux.uidMappings and linux.gidMappings",
            path="linux.uidMappings",
        )
