"""What a plan is made of: the records that ``plan`` fills and init executes."""

from __future__ import annotations

from corten.oci.seccomp.program import DEFAULT_DIRECTORY
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.oci.context import Step
    from corten.oci.identity import CapabilitySets
    from corten.oci.seccomp.program import Program
    from corten.spec.records import Config, Process


class PlanOptions(Struct):
    """What the caller decides, as opposed to the bundle.

    Fields:
        container_id: the id, for hooks' state and messages.
        host_mount_ns: descriptor of the host's mount namespace, of which the container's is
            a clone; -1: the caller's own.
        rootfs: where the root file system is mounted inside the container's own mount
            namespace; ``""`` takes ``root.path`` of the config (relative to the bundle).
            Any existing directory will do where ``rootfs_mounts`` are given.
        pivot: ``pivot_root``; False takes MS_MOVE and chroot (``--no-pivot``, ramdisks).
        new_keyring: a session keyring of its own (``--no-new-keyring`` is False).
        keep_groups: the annotation ``run.oci.keep_original_groups`` counts (crun's; podman sets
            it): the program keeps our groups.
        seccomp_cache: directory with compiled seccomp filters; ``""``: compile each time.
    """

    container_id: str
    host_mount_ns: int = -1
    rootfs: str = ""
    pivot: bool = True
    new_keyring: bool = True
    keep_groups: bool = False
    seccomp_cache: str = DEFAULT_DIRECTORY


class ProcessPlan(Struct):
    """The process to execute, with everything resolved that the host can resolve.

    Fields:
        affinity_before: for an exec, the CPUs of who joins the container's cgroup.
    """

    process: Process
    capabilities: CapabilitySets
    seccomp: Program | None
    affinity: frozenset[int] | None = None
    affinity_before: frozenset[int] | None = None
    keep_groups: bool = False
    memory: tuple[int, tuple[int, ...]] | None = None  # the mode with its flags, the nodes
    personality: str = ""


class Plan(Struct):
    """Everything init does, in order. Immutable, made of data; safe to keep and to reuse.

    Fields:
        config: the checked configuration.
        process: what becomes of init.
        root_steps: the mounts that make the root file system (with the host's rights where
            there is a user namespace).
        bind_root: the root file system is bound over itself afterwards, to be a mount point.
        steps: everything else before pivot_root.
        cgroup_steps: the view of cgroups and what is mounted on it, once init is inside.
        final_steps: after the hooks of the runtime namespace: masks, read-only.
        resources: ``linux.resources`` for the cgroup, default devices included.
        shared: rootfsPropagation shares volumes with the host.
    """

    options: PlanOptions
    bundle: str
    rootfs: str
    config: Config
    process: ProcessPlan
    root_steps: tuple[Step, ...]
    bind_root: bool
    steps: tuple[Step, ...]
    cgroup_steps: tuple[Step, ...]
    final_steps: tuple[Step, ...]
    resources: dict[str, Any]
    shared: bool

    def describe(self) -> list[str]:
        """One line per step, for ``--debug`` and for people."""
        linux = self.config.linux
        lines = [f"namespace {n.type} {n.path or 'new'}" for n in linux.namespaces]
        steps = (*self.root_steps, *self.steps, *self.cgroup_steps, *self.final_steps)
        lines += [step.describe() for step in steps]
        lines.append("pivot_root" if self.options.pivot else "move root and chroot")
        process = self.process.process
        if self.process.seccomp is not None:
            lines.append(f"seccomp filter flags: {self.process.seccomp.flags}")
        lines.append(f"execute {' '.join(process.args)} in {process.cwd}")
        return lines
