"""The mounts of a container: the kernel's file systems, our files, the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from corten.engine.types import ContainerConfig, MountRequest, Volume
from corten.engine.volumes.merging import clean
from corten.errors import InvalidArgument, Unimplemented

_PROPAGATIONS = ("private", "rprivate", "slave", "rslave", "shared", "rshared")


def all_mounts(
    config: ContainerConfig,
    *,
    files: Sequence[tuple[str, str]],
    host_ipc_shm: str,
    user_ns: bool,
    volumes: Mapping[str, Volume],
) -> list[dict[str, Any]]:
    """Every mount in the order in which it is made: parents before what lies below them.

    Arguments:
        files: (path inside, path on the host) of hosts, hostname and resolv.conf.
        host_ipc_shm: directory that becomes ``/dev/shm`` where the IPC namespace is shared
            (the host's or another container's); empty: a tmpfs of the container's own.
        volumes: those that the mounts name.
        user_ns: the container has a user namespace, in which a host's sysfs can't be mounted.

    Raises:
        InvalidArgument: two mounts at one place, a relative path.
        Unimplemented: a type that is not offered yet.
    """
    wanted = [_user_mount(request, volumes) for request in config.mounts]
    targets = [mount["destination"] for mount in wanted]
    for target in targets:
        if targets.count(target) > 1:
            raise InvalidArgument(f"Duplicate mount point: {target}")
    mounts = [
        mount
        for mount in _kernel_mounts(config, host_ipc_shm, user_ns)
        if not _covered(mount["destination"], targets)
    ]
    mounts += [_bind(path, source, ["rprivate"]) for path, source in files if path not in targets]
    return mounts + sorted(wanted, key=lambda mount: mount["destination"].count("/"))


def _covered(destination: str, targets: Sequence[str]) -> bool:
    """A user's mount takes the place of a default one, one at /dev of all below it."""
    return destination in targets or (destination.startswith("/dev/") and "/dev" in targets)


def _kernel_mounts(
    config: ContainerConfig, host_ipc_shm: str, user_ns: bool
) -> list[dict[str, Any]]:
    privileged = config.security.privileged
    access = [] if privileged else ["ro"]
    safe = ["nosuid", "noexec", "nodev"]
    mounts = [
        _mount("/proc", "proc", safe),
        _mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount(
            "/dev/pts",
            "devpts",
            ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
    ]
    if user_ns and config.namespaces.network == "host":
        mounts.append(_bind("/sys", "/sys", ["rprivate", *safe, "ro"]))
    else:
        mounts.append(_mount("/sys", "sysfs", [*safe, *access]))
    mounts.append(_mount("/sys/fs/cgroup", "cgroup", [*safe, "relatime", *access]))
    if config.namespaces.ipc == "host":
        mounts.append(_bind("/dev/mqueue", "/dev/mqueue", ["rprivate"]))
    else:
        mounts.append(_mount("/dev/mqueue", "mqueue", safe))
    if host_ipc_shm:
        mounts.append(_bind("/dev/shm", host_ipc_shm, ["rprivate"]))
    else:
        mounts.append(
            _mount("/dev/shm", "tmpfs", [*safe, "mode=1777", f"size={config.shm_size}"], "shm")
        )
    return mounts


def root_propagation(config: ContainerConfig) -> str:
    """``rootfsPropagation``: what a bind that is to receive or to share mounts needs of the tree
    it lies in."""
    wanted = {mount.propagation for mount in config.mounts}
    if wanted & {"shared", "rshared"}:
        return "shared"
    return "rslave" if wanted & {"slave", "rslave"} else ""


def bound_device(volume: Volume) -> str:
    """The directory of the host that a volume stands for; empty: it has files of its own, or is
    a file system that is mounted."""
    options = volume.options or {}
    words = options.get("o", "").split(",")
    if options.get("type") in ("bind", "none") or {"bind", "rbind"} & set(words):
        return options.get("device", "")
    return ""


def _volume(request: MountRequest, target: str, volume: Volume) -> dict[str, Any]:
    """A volume's directory, what it stands for, or the file system that its options describe."""
    options = volume.options or {}
    words = [word for word in options.get("o", "").split(",") if word]
    access = ["ro"] if request.read_only else []
    access += ["rro"] if request.recursive_read_only else []
    device = bound_device(volume)
    if device or not options.get("device"):
        words = words or ["rbind"]
        propagation = request.propagation or "rprivate"
        mount = _bind(target, device or volume.path, [*words, propagation, *access])
        if request.subpath:
            mount["x-corten-subpath"] = request.subpath
        return mount
    if request.subpath:
        raise InvalidArgument(f"volume {volume.name} is a mount: it can't have a subpath")
    kind = options.get("type", "")
    if kind == "tmpfs" and not request.no_copy:
        words.append("tmpcopyup")
    return _mount(target, kind, [*words, *access], options["device"])


def _user_mount(request: MountRequest, volumes: Mapping[str, Volume]) -> dict[str, Any]:
    target = clean(request.target)
    if request.type == "tmpfs":
        return _mount(target, "tmpfs", _tmpfs_options(request))
    if request.type == "volume":
        return _volume(request, target, volumes[request.source])
    if request.type != "bind":
        raise Unimplemented(f"mounts of type {request.type} are not offered yet")
    if not request.source.startswith("/"):
        raise InvalidArgument(f"invalid mount source: '{request.source}' is no absolute path")
    propagation = request.propagation or "rprivate"
    if propagation not in _PROPAGATIONS:
        raise InvalidArgument(f"invalid propagation: '{propagation}'")
    options = [propagation, *request.options]
    if request.read_only:
        options.append("ro")
    if request.recursive_read_only:
        options.append("rro")
    return _bind(target, request.source, options)


def _tmpfs_options(request: MountRequest) -> list[str]:
    """Docker's defaults, each overridden by its opposite."""
    opposites = {"noexec": "exec", "nosuid": "suid", "nodev": "dev"}
    options = [name for name, other in opposites.items() if other not in request.options]
    options += [option for option in request.options if option not in options]
    if request.read_only and "ro" not in options:
        options.append("ro")
    return options


def _mount(destination: str, kind: str, options: list[str], source: str = "") -> dict[str, Any]:
    return {
        "destination": destination,
        "type": kind,
        "source": source or kind,
        "options": options,
    }


def _bind(destination: str, source: str, options: list[str]) -> dict[str, Any]:
    kind = "bind" if "bind" in options else "rbind"
    rest = [option for option in options if option not in ("bind", "rbind")]
    return _mount(destination, "bind", [kind, *rest], source)
