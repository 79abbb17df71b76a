"""CRI's security contexts and resources in the engine's words."""

from __future__ import annotations

from pathlib import Path

from corten.cri.pb import cri_pb2 as pb
from corten.engine.types import Resources, Security
from corten.errors import InvalidArgument, NotFound


def security(context: pb.LinuxContainerSecurityContext) -> Security:
    """Of a container. Reads a seccomp profile where the context names a file (may block)."""
    return Security(
        privileged=context.privileged,
        cap_add=_capabilities(context.capabilities.add_capabilities),
        cap_drop=_capabilities(context.capabilities.drop_capabilities),
        no_new_privileges=context.no_new_privs,
        seccomp=_seccomp(context),
        apparmor=_apparmor(context),
        selinux_label=selinux_label(context.selinux_options),
        # An empty list is also what a caller sends that knows nothing of these: defaults.
        masked_paths=tuple(context.masked_paths) or None,
        readonly_paths=tuple(context.readonly_paths) or None,
        readonly_rootfs=context.readonly_rootfs,
    )


def sandbox_security(context: pb.LinuxSandboxSecurityContext) -> Security:
    """Of a pod; without a process of its own, only what its containers inherit matters."""
    return Security(
        privileged=context.privileged,
        selinux_label=selinux_label(context.selinux_options),
        readonly_rootfs=context.readonly_rootfs,
    )


def _capabilities(names: object) -> tuple[str, ...]:
    return tuple(str(name).upper() for name in names)  # type: ignore[attr-defined]  # repeated field


def _seccomp(context: pb.LinuxContainerSecurityContext) -> str:
    """No profile means unconfined: the kubelet decides about defaults (SeccompDefault)."""
    kinds = pb.SecurityProfile
    if context.privileged or not context.HasField("seccomp"):
        return "unconfined"
    profile = context.seccomp
    if profile.profile_type == kinds.RuntimeDefault:
        return "default"
    if profile.profile_type == kinds.Unconfined:
        return "unconfined"
    try:
        return Path(profile.localhost_ref).read_text("utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise NotFound(
            f"the seccomp profile can't be read: {error}", path=profile.localhost_ref
        ) from None


def _apparmor(context: pb.LinuxContainerSecurityContext) -> str:
    if not context.HasField("apparmor"):
        return context.apparmor_profile
    profile = context.apparmor
    if profile.profile_type == pb.SecurityProfile.RuntimeDefault:
        return ""
    if profile.profile_type == pb.SecurityProfile.Unconfined:
        return "unconfined"
    return profile.localhost_ref


def selinux_label(options: pb.SELinuxOption) -> str:
    """``user:role:type:level``; empty where nothing is asked for."""
    parts = (options.user, options.role, options.type, options.level)
    return ":".join(parts) if any(parts) else ""


def user(context: pb.LinuxContainerSecurityContext) -> str:
    """``UID[:GID]`` or a name, as the engine takes it.

    Raises:
        InvalidArgument: a group without a user, which the standard forbids.
    """
    name = context.run_as_username
    if context.HasField("run_as_user"):
        name = str(context.run_as_user.value)
    if not context.HasField("run_as_group"):
        return name
    if not name:
        raise InvalidArgument("run_as_group needs run_as_user or run_as_username")
    return f"{name}:{context.run_as_group.value}"


def resources(limits: pb.LinuxContainerResources) -> Resources:
    """Zero means "not given" everywhere in CRI."""
    return Resources(
        memory=limits.memory_limit_in_bytes or None,
        memory_swap=limits.memory_swap_limit_in_bytes or None,
        cpu_period=limits.cpu_period or None,
        cpu_quota=limits.cpu_quota or None,
        cpu_shares=limits.cpu_shares or None,
        cpuset_cpus=limits.cpuset_cpus,
        cpuset_mems=limits.cpuset_mems,
        hugepage_limits={limit.page_size: limit.limit for limit in limits.hugepage_limits},
        unified=dict(limits.unified),
    )


def resources_answer(limits: Resources, *, oom_score_adj: int) -> pb.LinuxContainerResources:
    """The other way, for a container's status."""
    return pb.LinuxContainerResources(
        memory_limit_in_bytes=limits.memory or 0,
        memory_swap_limit_in_bytes=limits.memory_swap or 0,
        cpu_period=limits.cpu_period or 0,
        cpu_quota=limits.cpu_quota or 0,
        cpu_shares=limits.cpu_shares or 0,
        cpuset_cpus=limits.cpuset_cpus,
        cpuset_mems=limits.cpuset_mems,
        oom_score_adj=oom_score_adj,
        hugepage_limits=[
            pb.HugepageLimit(page_size=size, limit=limit)
            for size, limit in limits.hugepage_limits.items()
        ],
        unified=limits.unified,
    )
