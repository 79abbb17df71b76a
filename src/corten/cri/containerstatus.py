"""The engine's Container in CRI's words."""

from __future__ import annotations

from corten.cri.containerconfig import signal_number
from corten.cri.pb import cri_pb2 as pb
from corten.cri.security import resources_answer
from corten.engine.types import Container, ContainerConfig, Identity, MountRequest

_STATES = {
    "created": pb.CONTAINER_CREATED,
    "running": pb.CONTAINER_RUNNING,
    "paused": pb.CONTAINER_RUNNING,
    "restarting": pb.CONTAINER_RUNNING,
    "removing": pb.CONTAINER_EXITED,
    "exited": pb.CONTAINER_EXITED,
    "dead": pb.CONTAINER_EXITED,
}
_PROPAGATION = {
    "rslave": pb.PROPAGATION_HOST_TO_CONTAINER,
    "rshared": pb.PROPAGATION_BIDIRECTIONAL,
}


def state(record: Container) -> pb.ContainerState:
    """One whose start failed has exited: it will never run (the kubelet makes another)."""
    found = record.state
    if found.status == "created" and (found.finished_at or found.error):
        return pb.CONTAINER_EXITED
    return _STATES.get(found.status, pb.CONTAINER_UNKNOWN)


def metadata(record: Container) -> pb.ContainerMetadata:
    return pb.ContainerMetadata(
        name=str(record.origin.get("name", record.name)), attempt=record.attempt
    )


def _image(record: Container) -> pb.ImageSpec:
    return pb.ImageSpec(
        image=str(record.origin.get("image", record.config.image)),
        user_specified_image=str(record.origin.get("user_specified_image", "")),
        runtime_handler=str(record.origin.get("runtime_handler", "")),
    )


def item(record: Container) -> pb.Container:
    """A row of ListContainers."""
    return pb.Container(
        id=record.id,
        pod_sandbox_id=record.pod_id,
        metadata=metadata(record),
        image=_image(record),
        image_ref=record.image_id,
        image_id=record.image_id,
        state=state(record),
        created_at=record.created_at,
        labels=record.config.labels,
        annotations=record.config.annotations,
    )


def status(record: Container, identity: Identity | None = None) -> pb.ContainerStatus:
    """The answer to ContainerStatus.

    Arguments:
        identity: whom its first process runs as; None: it does not run.
    """
    config, now = record.config, record.state
    ended = state(record) == pb.CONTAINER_EXITED
    return pb.ContainerStatus(
        id=record.id,
        metadata=metadata(record),
        state=state(record),
        created_at=record.created_at,
        started_at=now.started_at,
        finished_at=now.finished_at if ended else 0,
        exit_code=now.exit_code if ended else 0,
        image=_image(record),
        image_ref=record.image_id,
        image_id=record.image_id,
        reason=_reason(record) if ended else "",
        message=now.error,
        labels=config.labels,
        annotations=config.annotations,
        mounts=[_mount(mount) for mount in config.mounts],
        log_path=config.log.path,
        resources=pb.ContainerResources(
            linux=resources_answer(config.resources, oom_score_adj=config.oom_score_adj)
        ),
        user=_user(config) if identity is None else _linux_user(identity),
        stop_signal=signal_number(config.stop_signal),
    )


def _reason(record: Container) -> str:
    """The words that people know from ``kubectl describe pod``."""
    now = record.state
    if now.oom_killed:
        return "OOMKilled"
    if not now.started_at:
        return "StartError"
    return "Completed" if now.exit_code == 0 else "Error"


def _mount(mount: MountRequest) -> pb.Mount:
    return pb.Mount(
        container_path=mount.target,
        host_path=mount.source,
        readonly=mount.read_only,
        recursive_read_only=mount.recursive_read_only,
        propagation=_PROPAGATION.get(mount.propagation, pb.PROPAGATION_PRIVATE),
        selinux_relabel=mount.selinux_relabel,
        mount_options=mount.options,
    )


def _linux_user(identity: Identity) -> pb.ContainerUser:
    return pb.ContainerUser(
        linux=pb.LinuxContainerUser(
            uid=identity.uid, gid=identity.gid, supplemental_groups=identity.groups
        )
    )


def _user(config: ContainerConfig) -> pb.ContainerUser | None:
    """What was asked for, where it was numeric; names are resolved inside the container."""
    uid, _, gid = config.user.partition(":")
    if not uid.isdecimal():
        return None
    groups = [int(group) for group in config.group_add if group.isdecimal()]
    number = int(gid) if gid.isdecimal() else 0
    return _linux_user(Identity(uid=int(uid), gid=number, groups=tuple(groups)))
