"""Capabilities, limits, ids and priorities of the process that becomes the program."""

from __future__ import annotations

import posix
from errno import EINVAL, EPERM

from corten.errors import InvalidArgument
from corten.kernel import creds, limits
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.oci.users import Identity
    from corten.spec.records import (
        Capabilities,
        IoPriority,
        MemoryPolicy,
        Process,
        Rlimit,
        Scheduler,
    )

ALL_CAPABILITIES = (1 << len(creds.CAPABILITIES)) - 1
_LEAST_RUNTIME, _MOST_RUNTIME = 1024, 1 << 63  # sched(7); nanoseconds
_MOST_NODES = 1024  # MAX_NUMNODES of the largest kernels
_SYS_ADMIN = 1 << creds.CAPABILITY_NUMBERS["CAP_SYS_ADMIN"]


class CapabilitySets(Struct):
    """The five sets as bit masks."""

    bounding: int
    effective: int
    permitted: int
    inheritable: int
    ambient: int


def capability_sets(capabilities: Capabilities | None) -> CapabilitySets:
    """Names as masks; a configuration that says nothing gives none, as with runc and crun.

    Names that the kernel does not know are left out, as the specification demands
    (config.md: "any value which cannot be mapped to a relevant kernel interface").
    """
    masks = dict.fromkeys(CapabilitySets._fields, 0)
    if capabilities is not None:
        for name in masks:
            for item in getattr(capabilities, name):
                number = creds.CAPABILITY_NUMBERS.get(item)
                if number is not None:
                    masks[name] |= 1 << number
    return CapabilitySets(**masks)


def doubts(capabilities: Capabilities | None) -> list[str]:
    """What can't be granted, as warnings (config.md, "Linux Process"): names that the kernel
    does not know, and ambient capabilities that are not inheritable and permitted as well."""
    if capabilities is None:
        return []
    names = {name for kind in CapabilitySets._fields for name in getattr(capabilities, kind)}
    unknown = sorted(names - set(creds.CAPABILITY_NUMBERS))
    found = [f"ignoring unknown or unavailable capabilities: [{' '.join(unknown)}]"] * bool(unknown)
    for name in capabilities.ambient:
        missing = [k for k in ("permitted", "inheritable") if name not in getattr(capabilities, k)]
        if missing and name not in unknown:
            found.append(
                f"can't raise ambient capability {name}: it is not {' and '.join(missing)}"
            )
    return found


def check_names(process: Process) -> None:
    """What the kernel would refuse later, by name.

    Raises:
        InvalidArgument: an unknown limit, policy or class.
    """
    for limit in process.rlimits:
        if limit.type not in limits.RLIMITS:
            raise _unknown("process.rlimits", limit.type)
    scheduler = process.scheduler
    if scheduler is not None:
        if scheduler.policy not in limits.SCHED_POLICIES:
            raise _unknown("process.scheduler.policy", scheduler.policy)
        for flag in scheduler.flags:
            if flag not in limits.SCHED_FLAGS:
                raise _unknown("process.scheduler.flags", flag)
        if scheduler.policy == "SCHED_DEADLINE":
            _check_deadline(scheduler)
    priority = process.io_priority
    if priority is not None and priority.io_class not in limits.IOPRIO_CLASSES:
        raise _unknown("process.ioPriority.class", priority.io_class)


def _check_deadline(scheduler: Scheduler) -> None:
    """What sched_setattr(2) answers with a bare EINVAL, in crun's words."""
    runtime, deadline, period = scheduler.runtime, scheduler.deadline, scheduler.period
    problem = ""
    if not scheduler.has_runtime:
        problem = "requires `runtime`"
    elif not deadline:
        problem = "requires `deadline`"
    elif not runtime:
        problem = "runtime must be greater than 0"
    elif not _LEAST_RUNTIME <= runtime < _MOST_RUNTIME:
        problem = f"runtime {runtime} must be between {_LEAST_RUNTIME} and {_MOST_RUNTIME - 1}"
    elif runtime > deadline:
        problem = f"runtime {runtime} must be <= deadline {deadline}"
    elif period and deadline > period:
        problem = f"deadline {deadline} must be <= period {period}"
    if problem:
        text = f"sched_setattr: `SCHED_DEADLINE` {problem}"
        raise InvalidArgument(text, path="process.scheduler")


def _unknown(path: str, value: str) -> InvalidArgument:
    return InvalidArgument(f"{path} has the unknown value {value!r}", path=path)


def set_rlimits(rlimits: tuple[Rlimit, ...], *, pid: int = 0) -> None:
    """Set the limits of a process (0: ours)."""
    for limit in rlimits:
        try:
            limits.setrlimit(limits.RLIMITS[limit.type], limit.soft, limit.hard, pid=pid)
        except OSError as error:
            if error.errno == EPERM:
                error.strerror = (
                    f"{limit.type} can't be raised to {limit.hard} without CAP_SYS_RESOURCE"
                )
            raise


def set_scheduler(scheduler: Scheduler | None, priority: IoPriority | None) -> None:
    """Scheduler and io priority; needs CAP_SYS_NICE for more than the own share."""
    if scheduler is not None:
        flags = sum(limits.SCHED_FLAGS[flag] for flag in scheduler.flags)
        limits.sched_setattr(
            limits.SCHED_POLICIES[scheduler.policy],
            flags=flags,
            nice=scheduler.nice,
            priority=scheduler.priority,
            runtime=scheduler.runtime,
            deadline=scheduler.deadline,
            period=scheduler.period,
        )
    if priority is not None:
        limits.set_ioprio(limits.IOPRIO_CLASSES[priority.io_class], priority.priority)


def memory_policy(policy: MemoryPolicy) -> tuple[int, tuple[int, ...]]:
    """``(mode with flags, nodes)`` of set_mempolicy(2).

    Raises:
        InvalidArgument: an unknown mode or flag, or flags that exclude each other.
    """
    where = "linux.memoryPolicy"
    if policy.mode not in limits.MEMORY_POLICIES:
        raise InvalidArgument(f"invalid memory policy mode {policy.mode!r}", path=f"{where}.mode")
    mode = limits.MEMORY_POLICIES[policy.mode]
    for flag in policy.flags:
        if flag not in limits.MEMORY_POLICY_FLAGS:
            raise InvalidArgument(f"invalid memory policy flag {flag!r}", path=f"{where}.flags")
        mode |= limits.MEMORY_POLICY_FLAGS[flag]
    nodes = sorted(parse_cpu_list(policy.nodes, _MOST_NODES, "memory policy node"))
    needs_none = policy.mode in ("MPOL_DEFAULT", "MPOL_LOCAL")
    if needs_none and nodes:
        text = f"{policy.mode}: mode requires 0 nodes but got {len(nodes)}"
        raise InvalidArgument(text, path=f"{where}.nodes")
    return mode, tuple(nodes)


def parse_cpu_list(text: str, most: int = 1 << 16, what: str = "CPU") -> set[int]:
    """``0-3,7`` as numbers of CPUs, or of ``what``; nothing for the empty text.

    Raises:
        InvalidArgument: not such a list, or one of them is not below ``most``.
    """
    cpus: set[int] = set()
    if not text:
        return cpus
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise InvalidArgument(f"{text!r} is not a list of {what}s")
        if int(last or first) >= most:
            raise InvalidArgument(f"invalid {what} {last or first}: the last one is {most - 1}")
        cpus.update(range(int(first), int(last or first) + 1))
    return cpus


def drop_bounding(keep: int) -> None:
    """Shrink the bounding set to ``keep``; while we still have CAP_SETPCAP."""
    for number in range(len(creds.CAPABILITIES)):
        if keep >> number & 1:
            continue
        try:
            creds.bounding_drop(number)
        except OSError as error:
            if error.errno != EINVAL:
                raise
            return  # beyond the last one this kernel knows


def become(identity: Identity, *, groups_allowed: bool = True) -> None:
    """Take on groups, gid and uid; permitted capabilities are kept until :func:`set_sets`."""
    if groups_allowed:
        creds.setgroups(list(identity.groups))
    creds.setresgid(identity.gid)
    creds.set_keepcaps(True)
    creds.setresuid(identity.uid)
    # every change of ids may have made us readable for others again (prctl(2))
    creds.set_dumpable(False)


def set_sets(sets: CapabilitySets, keep_admin: bool) -> None:
    """Set the final capabilities.

    Arguments:
        keep_admin: CAP_SYS_ADMIN stays permitted and effective to load a seccomp filter
            without no_new_privs. The exec takes it away: it is neither in the bounding nor
            in the inheritable nor in the ambient set unless the configuration says so.
    """
    _, have, _ = creds.capget()
    permitted = sets.permitted & have
    extra = _SYS_ADMIN & have if keep_admin else 0
    creds.capset(
        sets.effective & permitted | extra, permitted | extra, sets.inheritable & (have | permitted)
    )
    creds.set_keepcaps(False)
    creds.ambient_clear()
    ambient = sets.ambient & sets.inheritable & permitted
    for number in range(ambient.bit_length()):
        if ambient >> number & 1:
            creds.ambient_raise(number)


def fix_stdio_owner(uid: int) -> None:
    """Give terminals and pipes of ours to the user, as runc does; others keep their owner."""
    null = posix.makedev(1, 3)
    for fd in range(3):
        try:
            info = posix.fstat(fd)
            if info.st_uid != uid and info.st_rdev != null:
                posix.fchown(fd, uid, -1)
        except OSError:
            continue  # a read-only file system, a socket of somebody else: it stays as it is
