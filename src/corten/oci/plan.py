"""A container as a plan: objects made and checked before the first system call.

``compile_plan`` turns a config.json into a :class:`Plan`. Nothing here has an effect on
the system; it may read the cache of seccomp filters. ``container.create`` executes it.
"""

from __future__ import annotations

from corten.errors import InvalidArgument
from corten.kernel.mounts import MS_BIND, MS_REMOUNT
from corten.oci import mountoptions
from corten.oci.cgroupmount import CgroupMount
from corten.oci.devices import (
    DEFAULT_DEVICES,
    DEFAULT_LINKS,
    DeviceLinks,
    DeviceNode,
    PlainDev,
    needs_device_setup,
)
from corten.oci.identity import (
    capability_sets,
    check_names,
    memory_policy,
    parse_cpu_list,
)
from corten.oci.masks import MaskPaths, ReadOnlyPaths
from corten.oci.mounts import BindMount, FilesystemMount, ReadOnly, Remount
from corten.oci.paths import clean, join
from corten.oci.planned import Plan, PlanOptions, ProcessPlan
from corten.oci.rootfs import IsolateMounts, RootMount
from corten.oci.seccomp.cache import program_for
from corten.oci.seccomp.program import DEFAULT_DIRECTORY
from corten.oci.sysctl import compile_sysctls
from corten.spec._struct import replace
from corten.spec.runtime import Config, Process, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.oci.context import Step
    from corten.oci.idmap import IdMap
    from corten.spec.mount import Mount
    from corten.spec.records import ConfigMount, Linux

    MountStep = BindMount | FilesystemMount | CgroupMount | Remount

__all__ = ["Plan", "PlanOptions", "ProcessPlan", "compile_plan", "compile_process"]

_KEEP_GROUPS = "run.oci.keep_original_groups"
_SHARED = ("shared", "rshared")
# File systems whose mounts take an SELinux label.
_LABELLED = ("tmpfs", "devpts", "mqueue", "overlay", "ramfs")


def compile_plan(
    config: dict[str, Any],
    *,
    bundle: str,
    rootfs_mounts: tuple[Mount, ...] = (),
    options: PlanOptions,
) -> Plan:
    """Validate a config.json (runtime-spec 1.0 to 1.3) and turn it into a plan.

    Arguments:
        config: the decoded document.
        bundle: absolute path of the bundle's directory.
        rootfs_mounts: mounts that make the root file system; made inside the container's own
            mount namespace, in order, targets relative to the root file system.
        options: what the caller decides.
    Raises:
        InvalidArgument: the config breaks the specification; ``path`` names the field.
        Unimplemented: the config asks for something that is not offered.
    """
    parsed = parse(config)
    process = parsed.process
    if process is None:
        raise InvalidArgument("process is missing", path="process")
    linux = parsed.linux
    if parsed.shares_mounts and linux.namespace("user") is not None:
        raise InvalidArgument(
            "a user namespace needs a mount namespace of its own", path="linux.namespaces"
        )
    rootfs = options.rootfs or parsed.root_path
    if not rootfs:
        raise InvalidArgument("root.path is missing", path="root.path")
    if clean(join(bundle, rootfs)) == "/":
        raise InvalidArgument("root.path must not be the host's root", path="root.path")
    parsed = _without_root(parsed, join(bundle, rootfs))
    mounts = _mount_steps(parsed, bundle)
    late = _below_cgroups(mounts)
    return Plan(
        options=options,
        bundle=bundle,
        rootfs=join(bundle, rootfs),
        config=parsed,
        process=replace(
            compile_process(process, linux.seccomp, options.seccomp_cache),
            memory=memory_policy(linux.memory_policy) if linux.memory_policy else None,
            personality=linux.personality,
            affinity=None,  # execCPUAffinity is not for init (config.md)
            affinity_before=None,
            keep_groups=options.keep_groups and parsed.annotations.get(_KEEP_GROUPS) == "1",
        ),
        root_steps=_root_steps(parsed, rootfs_mounts),
        # what is mounted by us as a whole is a mount point already; a user namespace locks
        # what it inherits, so it needs one of its own
        bind_root=linux.namespace("user") is not None or parsed.shares_mounts or not rootfs_mounts,
        steps=_steps(parsed, tuple([step for step in mounts if step not in late])),
        cgroup_steps=late,
        final_steps=_final_steps(parsed),
        resources=_resources(linux.resources),
        shared=linux.rootfs_propagation in _SHARED,
    )


def _without_root(config: Config, rootfs: str) -> Config:
    """Destinations as the container sees them, where they were given as the host does: with the
    root file system's own path before them, which runc takes off."""
    cut = len(rootfs)
    if not any([mount.destination.startswith(f"{rootfs}/") for mount in config.mounts]):
        return config
    mounts = [
        replace(m, destination=m.destination[cut:]) if m.destination.startswith(f"{rootfs}/") else m
        for m in config.mounts
    ]
    return replace(config, mounts=tuple(mounts))


def compile_process(
    process: Process, seccomp: dict[str, Any] | None, cache: str = DEFAULT_DIRECTORY
) -> ProcessPlan:
    """Check a process and resolve its capabilities and filter; for init and for an exec."""
    check_names(process)
    before, affinity = process.cpu_affinity_initial, process.cpu_affinity_final
    return ProcessPlan(
        process=process,
        capabilities=capability_sets(process.capabilities),
        seccomp=program_for(seccomp, cache) if seccomp else None,
        affinity=frozenset(parse_cpu_list(affinity)) if affinity else None,
        affinity_before=frozenset(parse_cpu_list(before)) if before else None,
    )


def _root_steps(config: Config, mounts: tuple[Mount, ...]) -> tuple[Step, ...]:
    private = config.linux.rootfs_propagation in ("private", "rprivate")
    steps: list[Step] = [] if config.shares_mounts else [IsolateMounts(private=private)]
    label = config.linux.mount_label
    for mount in mounts:
        options = mountoptions.parse(mount.options)
        steps.append(
            RootMount(
                type=mount.type,
                source=mount.source,
                target="" if mount.target in ("", "/") else clean(mount.target),
                options=_labelled(options, mount.type, label),
            )
        )
    return tuple(steps)


def _mount_steps(config: Config, bundle: str) -> tuple[MountStep, ...]:
    namespaced = config.linux.namespace("cgroup") is not None
    return tuple([_mount_step(m, bundle, namespaced, config.linux) for m in config.mounts])


def _below_cgroups(mounts: tuple[MountStep, ...]) -> tuple[MountStep, ...]:
    """The first view of cgroups and what is mounted on it later."""
    for number, step in enumerate(mounts):
        if isinstance(step, CgroupMount):
            top = step.destination
            return tuple([s for s in mounts[number:] if f"{s.destination}/".startswith(f"{top}/")])
    return ()


def _steps(config: Config, mounts: tuple[MountStep, ...]) -> tuple[Step, ...]:
    steps: list[Step] = list(mounts)
    if needs_device_setup(
        tuple([(s.destination, True) for s in mounts if isinstance(s, BindMount)])
    ):
        own = {device.path for device in config.linux.devices}
        devices = [d for d in DEFAULT_DEVICES if d.path not in own]
        if not any([step.destination == "/dev" for step in mounts]):
            steps.append(PlainDev())
        steps += [DeviceNode(device=d) for d in (*devices, *config.linux.devices)]
        steps.append(DeviceLinks(links=DEFAULT_LINKS))
    sysctls = compile_sysctls(config.linux, config.domainname)
    if sysctls is not None:
        steps.append(sysctls)
    return tuple(steps)


def _mount_step(mount: ConfigMount, bundle: str, namespaced: bool, linux: Linux) -> MountStep:
    destination = clean(mount.destination)
    options = mountoptions.parse(mount.options)
    where = f"mounts[{destination}]"
    mapped = bool(mount.uid_mappings or {"idmap", "ridmap"} & set(options.special))
    if mount.type == "bind" or options.flags & MS_BIND:
        if not mount.source:
            raise InvalidArgument(f"{where} has no source", path=where)
        source = join(bundle, mount.source)
        return BindMount(
            destination=destination,
            source=source,
            subpath=mount.subpath,
            options=options,
            idmap=_idmap(mount, options, linux) if mapped else None,
        )
    if mapped:
        raise InvalidArgument("id-mapped mounts are for bind mounts alone", path=where)
    if options.flags & MS_REMOUNT or (not mount.type and options.propagation):
        return Remount(destination=destination, options=options)
    if not mount.type:
        raise InvalidArgument(f"{where} has no type", path=where)
    if mount.type in ("cgroup", "cgroup2"):
        return CgroupMount(
            destination=destination, type=mount.type, options=options, namespaced=namespaced
        )
    if "tmpcopyup" in options.special and mount.type != "tmpfs":
        raise InvalidArgument(f"{where} has tmpcopyup, which is for tmpfs alone", path=where)
    return FilesystemMount(
        destination=destination,
        type=mount.type,
        source=mount.source,
        options=_labelled(options, mount.type, linux.mount_label),
    )


def preload() -> None:
    """Import what only some plans need, for a process that can't import later."""
    import corten.oci.idmap  # noqa: F401  # the import is the purpose


def _idmap(mount: ConfigMount, options: mountoptions.Options, linux: Linux) -> IdMap:
    from corten.oci.idmap import compile_idmap  # few have one

    return compile_idmap(mount, options.special, linux)


def _labelled(options: mountoptions.Options, kind: str, label: str) -> mountoptions.Options:
    if not label or kind not in _LABELLED or "context=" in options.data:
        return options
    data = f'context="{label}"'
    return mountoptions.with_data(options, f"{options.data},{data}" if options.data else data)


def _final_steps(config: Config) -> tuple[Step, ...]:
    linux = config.linux
    steps: list[Step] = []
    for mount in config.mounts:
        step = FilesystemMount(
            destination=clean(mount.destination),
            type=mount.type,
            source="",
            options=mountoptions.parse(mount.options),
        )
        if step.delayed_read_only() and not step.options.flags & (MS_BIND | MS_REMOUNT):
            steps.append(ReadOnly(destination=step.destination))
    if linux.readonly_paths:
        steps.append(ReadOnlyPaths(paths=_once(linux.readonly_paths)))
    if linux.masked_paths:
        steps.append(MaskPaths(paths=_once(linux.masked_paths), label=linux.mount_label))
    if config.root_readonly:
        steps.append(ReadOnly(destination="/"))
    return tuple(steps)


def _once(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(paths))


def _resources(resources: dict[str, Any] | None) -> dict[str, Any]:
    """Limits for the cgroup: all devices refused but what the configuration and the
    specification ("Default Devices") allow."""
    own = dict(resources or {})
    own["devices"] = [{"allow": False, "access": "rwm"}, *(own.get("devices") or ())]
    own["devices"] += _ALLOWED_DEVICES
    return own


def _allow(kind: str, major: int | None, minor: int | None, access: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"allow": True, "type": kind, "access": access}
    if major is not None:
        rule["major"] = major
    if minor is not None:
        rule["minor"] = minor
    return rule


# Making a node harms nobody, opening it does: mknod is free, as with every other runtime.
_ALLOWED_DEVICES = [
    _allow("c", None, None, "m"),
    _allow("b", None, None, "m"),
    *[_allow("c", d.major, d.minor, "rwm") for d in DEFAULT_DEVICES],
    _allow("c", 136, None, "rwm"),  # pseudoterminals
    _allow("c", 5, 1, "rwm"),  # /dev/console
    _allow("c", 5, 2, "rwm"),  # /dev/ptmx
]
