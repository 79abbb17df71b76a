"""Limits and scheduling of a process."""

from __future__ import annotations

from _struct import pack, unpack

from corten.kernel._call import buffer, call

# <asm-generic/resource.h>; x86 and arm64 agree.
RLIMITS = {
    "RLIMIT_CPU": 0,
    "RLIMIT_FSIZE": 1,
    "RLIMIT_DATA": 2,
    "RLIMIT_STACK": 3,
    "RLIMIT_CORE": 4,
    "RLIMIT_RSS": 5,
    "RLIMIT_NPROC": 6,
    "RLIMIT_NOFILE": 7,
    "RLIMIT_MEMLOCK": 8,
    "RLIMIT_AS": 9,
    "RLIMIT_LOCKS": 10,
    "RLIMIT_SIGPENDING": 11,
    "RLIMIT_MSGQUEUE": 12,
    "RLIMIT_NICE": 13,
    "RLIMIT_RTPRIO": 14,
    "RLIMIT_RTTIME": 15,
}
RLIM_INFINITY = 0xFFFF_FFFF_FFFF_FFFF

IOPRIO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
SCHED_POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
SCHED_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
MEMORY_POLICIES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
MEMORY_POLICY_FLAGS = {
    "MPOL_F_NUMA_BALANCING": 1 << 13,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_STATIC_NODES": 1 << 15,
}
# <linux/personality.h>; the runtime specification's domains.
PERSONALITIES = {"LINUX": 0, "LINUX32": 0x0008}


def setrlimit(resource: int, soft: int, hard: int, *, pid: int = 0) -> None:
    """Set a limit of a process (0: the caller); EPERM for a raise without CAP_SYS_RESOURCE."""
    call("prlimit64", None, pid, resource, pack("2Q", soft, hard), None)


def getrlimit(resource: int, *, pid: int = 0) -> tuple[int, int]:
    """``(soft, hard)`` of a process."""
    out = buffer(16)
    call("prlimit64", None, pid, resource, None, out)
    soft, hard = unpack("2Q", out.raw)
    return soft, hard


def set_ioprio(io_class: int, priority: int) -> None:
    """Set the caller's io class (1 real time, 2 best effort, 3 idle) and priority (0 to 7)."""
    call("ioprio_set", None, 1, 0, io_class << 13 | priority)  # IOPRIO_WHO_PROCESS


def sched_setattr(
    policy: int,
    *,
    flags: int = 0,
    nice: int = 0,
    priority: int = 0,
    runtime: int = 0,
    deadline: int = 0,
    period: int = 0,
) -> None:
    """Set the caller's scheduler; times in nanoseconds (for SCHED_DEADLINE)."""
    size = 48
    attr = pack("IIQiIQQQ", size, policy, flags, nice, priority, runtime, deadline, period)
    call("sched_setattr", None, 0, attr, 0)


def set_mempolicy(mode: int, nodes: tuple[int, ...]) -> None:
    """Set the caller's memory policy; ``mode`` holds a policy and its flags."""
    mask = 0
    for node in nodes:
        mask |= 1 << node
    words = max(1, (mask.bit_length() + 63) // 64)
    raw = mask.to_bytes(words * 8, "little")
    # maxnode counts one more than the mask has bits (set_mempolicy(2), BUGS)
    call("set_mempolicy", None, mode, raw if nodes else None, words * 64 + 1 if nodes else 0)


def personality(persona: int) -> int:
    """Set the execution domain; returns the one before."""
    return call("personality", None, persona)
