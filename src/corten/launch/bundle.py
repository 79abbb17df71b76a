"""A bundle on disk for a runtime's program, in the monitor's own mount namespace."""

from __future__ import annotations

import os

from corten.errors import Internal
from corten.kernel import mounts as k
from corten.kernel.files import openat2
from corten.oci.mountoptions import parse
from corten.oci.rootfs import mount_overlay
from corten.oci.users import resolve
from corten.spec.jsonlite import dumpb
from corten.spec.runtime import User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.launch.runtime import CreateRequest
    from corten.spec.mount import Mount


def prepare(
    request: CreateRequest, config: dict[str, Any], console_size: tuple[int, int]
) -> tuple[str, int]:
    """Mount the root file system and write ``config.json``.

    Arguments:
        console_size: rows and columns of the terminal, if there is one.
    Returns: the bundle's directory, and a descriptor of the root file system.
    """
    directory = f"{request.run_dir}/bundle"
    os.makedirs(directory, mode=0o700, exist_ok=True)
    root = (config.get("root") or {}).get("path", "rootfs")
    rootfs = request.rootfs or os.path.join(request.bundle, root)
    for mount in request.rootfs_mounts:
        mount_root(mount, rootfs)
    fd = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    final = _config(request, config, rootfs, fd, console_size)
    write_file(f"{directory}/config.json", dumpb(final))
    return directory, fd


def _config(
    request: CreateRequest,
    config: dict[str, Any],
    rootfs: str,
    fd: int,
    console_size: tuple[int, int],
) -> dict[str, Any]:
    config = dict(config)
    config["root"] = {**(config.get("root") or {}), "path": rootfs}
    if "process" in config:
        config["process"] = resolved_process(config["process"], fd, console_size)
    linux = config["linux"] = dict(config.get("linux") or {})
    if request.cgroup:
        linux["cgroupsPath"] = request.cgroup
    linux["namespaces"] = _namespaces(request, linux.get("namespaces") or ())
    return config


def _namespaces(request: CreateRequest, listed: Any) -> list[dict[str, str]]:
    """The config's, those that came as descriptors replaced by paths to them."""
    pid = os.getpid()
    given = {kind: f"/proc/{pid}/fd/{fd}" for kind, fd in request.ns_fds.items()}
    kept = [item for item in listed if item["type"] not in given]
    return kept + [{"type": kind, "path": path} for kind, path in given.items()]


def shares_pid(request: CreateRequest, config: dict[str, Any]) -> bool:
    """Whether init's end does not end the container's other processes."""
    if "pid" in request.ns_fds:
        return True
    for item in (config.get("linux") or {}).get("namespaces") or ():
        if item["type"] == "pid":
            return bool(item.get("path"))
    return True


def resolved_process(
    process: dict[str, Any], rootfs: int, console_size: tuple[int, int] = (0, 0)
) -> dict[str, Any]:
    """``process`` as programs take it: its user's names replaced by numbers, the terminal's
    size (rows, columns) in it."""
    process = dict(process)
    if any(console_size) and process.get("terminal"):
        process["consoleSize"] = {"height": console_size[0], "width": console_size[1]}
    user = process.get("user") or {}
    if "username" not in user:
        return process
    wanted = User(
        username=user["username"],
        group_names=tuple(user.get("additionalGroupNames") or ()),
        groups_policy=user.get("supplementalGroupsPolicy") or "",
    )
    found = resolve(wanted, rootfs)
    env = list(process.get("env") or ())
    if not any([item.startswith("HOME=") for item in env]):
        env.append(f"HOME={found.home}")
    numbers = {"uid": found.uid, "gid": found.gid, "additionalGids": list(found.groups)}
    if "umask" in user:
        numbers["umask"] = user["umask"]
    return {**process, "user": numbers, "env": env}


def mount_root(mount: Mount, rootfs: str) -> None:
    """Make one of the mounts that make a root file system, below ``rootfs``."""
    options = parse(mount.options)
    target = rootfs
    fd = -1
    try:
        if mount.target:
            base = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fd = openat2(base, mount.target, os.O_PATH)
            finally:
                os.close(base)
            target = f"/proc/self/fd/{fd}"
        if mount.type == "overlay":
            mount_overlay(mount.source, target, options.flags, options.data)
        elif options.flags & k.MS_BIND:
            k.mount(mount.source, target, "", options.flags & (k.MS_BIND | k.MS_REC))
            rest = options.flags & ~k.MS_REC
            if rest != k.MS_BIND:
                k.mount("", target, "", rest | k.MS_REMOUNT)
        else:
            k.mount(mount.source, target, mount.type, options.flags, options.data)
    except OSError as error:
        raise Internal(
            f"mount {mount.type} from {mount.source}: {error.strerror}",
            step="mount root file system",
            path=rootfs,
            errno=error.errno or 0,
        ) from None
    finally:
        if fd >= 0:
            os.close(fd)


def write_file(path: str, data: bytes) -> None:
    """Replace a small file of the run directory."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)


def read_file(path: str) -> bytes:
    """A small file of the run directory; empty if there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.read(fd, 1 << 20)
    finally:
        os.close(fd)
