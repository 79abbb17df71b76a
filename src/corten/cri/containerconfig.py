"""CRI's ``ContainerConfig`` into the engine's ContainerConfig."""

from __future__ import annotations

import os.path
from typing import Any

from corten.cri.pb import cri_pb2 as pb
from corten.cri.security import resources, security, user
from corten.engine.types import (
    ContainerConfig,
    DeviceRequest,
    LogConfig,
    MountRequest,
    Namespaces,
    Pod,
)
from corten.errors import InvalidArgument, Unimplemented

_PROPAGATION = {
    pb.PROPAGATION_PRIVATE: "rprivate",
    pb.PROPAGATION_HOST_TO_CONTAINER: "rslave",
    pb.PROPAGATION_BIDIRECTIONAL: "rshared",
}


def container_name(config: pb.ContainerConfig, pod: Pod) -> str:
    """A name that is unique among the tenant's containers and says what it is."""
    about = pod.config
    parts = (config.metadata.name, about.name, about.namespace, about.uid, config.metadata.attempt)
    return "_".join(["k8s", *map(str, parts)])


def container_config(config: pb.ContainerConfig, pod: Pod) -> ContainerConfig:
    """What a container is made from. Reads a seccomp profile's file (may block).

    Raises:
        InvalidArgument: what can never be.
        Unimplemented: what this version has not.
    """
    _refuse_missing(config)
    context = config.linux.security_context
    return ContainerConfig(
        image=config.image.image,
        hostname=pod.config.hostname,
        user=user(context),
        env=tuple(_variable(pair) for pair in config.envs),
        entrypoint=tuple(config.command) or None,
        cmd=tuple(config.args) or None,
        working_dir=config.working_dir,
        labels=dict(config.labels),
        annotations=dict(config.annotations),
        tty=config.tty,
        open_stdin=config.stdin,
        stdin_once=config.stdin_once,
        stop_signal=signal_name(config.stop_signal),
        mounts=tuple(_mount(mount) for mount in config.mounts),
        devices=tuple(_device(device) for device in config.devices),
        resources=resources(config.linux.resources),
        security=security(context),
        namespaces=_namespaces(context.namespace_options, pod),
        log=log_config(config.log_path, pod),
        runtime=pod.config.runtime,
        oom_score_adj=config.linux.resources.oom_score_adj,
        group_add=tuple(str(group) for group in context.supplemental_groups),
        supplemental_groups="strict"
        if context.supplemental_groups_policy == pb.Strict
        else "merge",
        cgroup_parent=pod.config.cgroup_parent,
    )


def _refuse_missing(config: pb.ContainerConfig) -> None:
    if not config.metadata.name:
        raise InvalidArgument("a container needs a name in its metadata")
    if not config.image.image:
        raise InvalidArgument(f"container {config.metadata.name!r} names no image")
    if config.CDI_devices:
        raise Unimplemented("CDI devices are not offered by this version of Corten")
    ambient = config.linux.security_context.capabilities.add_ambient_capabilities
    if ambient:
        raise Unimplemented("ambient capabilities are not offered by this version of Corten")


def _variable(pair: pb.KeyValue) -> str:
    """The standard allows any bytes; records and the runtime's configuration are UTF-8."""
    try:
        return f"{pair.key}={pair.value.decode('utf-8')}"
    except UnicodeDecodeError:
        raise Unimplemented(
            f"the value of environment variable {pair.key!r} is not UTF-8, which is not"
            " supported by this version of Corten"
        ) from None


def _mount(mount: pb.Mount) -> MountRequest:
    if mount.HasField("image"):
        raise Unimplemented(
            f"the mount at {mount.container_path} is an image volume, which is not offered by"
            " this version of Corten"
        )
    if mount.uidMappings or mount.gidMappings:
        raise Unimplemented(
            f"the mount at {mount.container_path} has id mappings, which are not offered by"
            " this version of Corten"
        )
    return MountRequest(
        type="bind",
        target=mount.container_path,
        source=mount.host_path,
        read_only=mount.readonly,
        recursive_read_only=mount.recursive_read_only,
        propagation=_PROPAGATION.get(mount.propagation, "rprivate"),
        options=tuple(mount.mount_options),
        create_source=True,
        selinux_relabel=mount.selinux_relabel,
    )


def _device(device: pb.Device) -> DeviceRequest:
    return DeviceRequest(
        host_path=device.host_path,
        container_path=device.container_path,
        access=device.permissions or "rwm",
    )


def _namespaces(options: pb.NamespaceOption, pod: Pod) -> Namespaces:
    pids = {pb.POD: "pod", pb.CONTAINER: "private", pb.NODE: "host"}
    pid = pids.get(options.pid, f"container:{options.target_id}")
    if pid == "pod" and not pod.config.share_pid:
        # A container that says nothing says POD; the pod decides whether it has one.
        pid = "host" if pod.config.host_pid else "private"
    return Namespaces(
        network="host" if pod.config.host_network else "pod",
        pid=pid,
        ipc="host" if pod.config.host_ipc else "pod",
        uts="host" if pod.config.host_network else "pod",
    )


def log_config(log_path: str, pod: Pod) -> LogConfig:
    """CRI's format at the pod's directory + the container's path; none without one.

    Raises:
        InvalidArgument: the path leaves the pod's directory.
    """
    directory = pod.config.log_directory
    if not log_path or not directory:
        return LogConfig(driver="none")
    path = os.path.normpath(os.path.join(directory, log_path))
    if not path.startswith(os.path.normpath(directory) + "/"):
        raise InvalidArgument(f"log path {log_path!r} leaves the pod's log directory")
    return LogConfig(driver="cri", path=path)


def signal_name(number: int) -> str:
    """``SIGTERM``, ``SIGRTMIN+3``; empty for the runtime's default."""
    if number == pb.SIGNAL_RUNTIME_DEFAULT:
        return ""
    name = pb.Signal.Name(number).removeprefix("SIGNAL_")
    return name.replace("PLUS", "+").replace("MINUS", "-")


def signal_number(name: str) -> pb.Signal:
    """The other way; what the standard has no number for is the default."""
    word = name.upper().removeprefix("SIG").replace("+", "PLUS").replace("-", "MINUS")
    found = pb.Signal.DESCRIPTOR.values_by_name.get(f"SIGNAL_SIG{word}")
    return pb.SIGNAL_RUNTIME_DEFAULT if found is None else found.number  # type: ignore[return-value]  # the enum's own number


def origin(config: pb.ContainerConfig) -> dict[str, Any]:
    """What a status has to repeat as it was given."""
    return {
        "name": config.metadata.name,
        "image": config.image.image,
        "user_specified_image": config.image.user_specified_image,
        "runtime_handler": config.image.runtime_handler,
    }
