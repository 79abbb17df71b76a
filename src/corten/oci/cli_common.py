"""What several commands do. Few need a plan, whose modules are thirty: they are imported where
one is made."""

from __future__ import annotations

import posix

from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cgroups.base import Cgroup
    from corten.oci.cli import Settings
    from corten.oci.cliargs import Arguments
    from corten.oci.planned import Plan
    from corten.oci.records import Record

_SIGKILL = 9


def one_id(args: Arguments, command: str) -> str:
    """The container's id, the only word.

    Raises:
        InvalidArgument: none, or more.
    """
    if len(args.words) != 1:
        raise InvalidArgument(f'"{command}" requires exactly 1 argument(s)')
    return args.words[0]


def plan_of(settings: Settings, record: Record) -> Plan:
    """The plan of an existing container, from the configuration as it was made."""
    from corten.oci.plan import PlanOptions, compile_plan

    return compile_plan(
        record.data["config"],
        bundle=record.data["bundle"],
        options=PlanOptions(container_id=record.id, host_mount_ns=settings.host_mounts),
    )


def destroy(record: Record, cgroup: Cgroup | None, plan: Plan | None, settings: Settings) -> None:
    """Remove the cgroup (with what still runs in it) and the record; poststop hooks last."""
    if cgroup is not None:
        cgroup.kill(_SIGKILL)
        cgroup.delete()
    if "mounts_before" in record.data:
        _unmount(record, settings.host_mounts)
    record.remove()
    if plan is not None:
        from corten.oci import lifecycle

        for warning in lifecycle.run_poststop_hooks(plan):
            settings.log.warning(warning)


def _unmount(record: Record, host_mounts: int) -> None:
    """What a container without a mount namespace left on the host, in a process that may go
    there."""
    from corten.kernel.namespaces import CLONE_NEWNS, setns
    from corten.oci.rootfs import unmount_root

    pid = posix.fork()
    if pid == 0:
        try:
            if host_mounts >= 0:
                setns(host_mounts, CLONE_NEWNS)
            unmount_root(record.data["rootfs"], record.data["mounts_before"])
        finally:
            posix._exit(0)
    posix.waitpid(pid, 0)
