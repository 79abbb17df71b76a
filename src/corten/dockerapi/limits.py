"""Limits of ``HostConfig``, checked as dockerd checks them. No I/O."""

from __future__ import annotations

import os

from corten.dockerapi.requests import HostConfig
from corten.engine.types import Resources, Ulimit
from corten.errors import InvalidArgument

LEAST_MEMORY = 6 << 20  # bytes; dockerd's floor


def resources(host: HostConfig) -> Resources:
    """The engine's resources.

    Raises:
        InvalidArgument: a limit out of range, or two that contradict each other.
    """
    memory, swap = host.memory or 0, host.memory_swap or 0
    _check_memory(host, memory, swap)
    _check_cpu(host)
    if memory and not swap:
        swap = 2 * memory
    pids = host.pids_limit or 0
    swappiness = host.memory_swappiness
    return Resources(
        memory=memory or None,
        memory_swap=swap or None,
        memory_reservation=host.memory_reservation or None,
        memory_swappiness=None if swappiness is None or swappiness == -1 else swappiness,
        oom_kill_disable=host.oom_kill_disable or None,
        nano_cpus=host.nano_cpus or None,
        cpu_shares=host.cpu_shares or None,
        cpu_period=host.cpu_period or None,
        cpu_quota=host.cpu_quota or None,
        cpuset_cpus=host.cpuset_cpus or "",
        cpuset_mems=host.cpuset_mems or "",
        pids_limit=pids if pids > 0 else None,
        blkio_weight=host.blkio_weight or None,
    )


def ulimits(host: HostConfig) -> tuple[Ulimit, ...]:
    """``Ulimits``; a hard limit below the soft one is refused."""
    for limit in host.ulimits or ():
        if limit.hard != -1 and limit.soft > limit.hard:
            raise InvalidArgument(
                f"ulimit soft limit must be less than or equal to hard limit: "
                f"{limit.soft} > {limit.hard}"
            )
    return tuple(
        Ulimit(name=limit.name.lower().removeprefix("rlimit_"), soft=limit.soft, hard=limit.hard)
        for limit in host.ulimits or ()
    )


def _check_memory(host: HostConfig, memory: int, swap: int) -> None:
    if 0 < memory < LEAST_MEMORY:
        raise InvalidArgument("Minimum memory limit allowed is 6MB")
    if memory < 0:
        raise InvalidArgument(f"invalid memory limit: {memory}")
    if memory and swap > 0 and swap < memory:
        raise InvalidArgument(
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        )
    if not memory and swap > 0:
        raise InvalidArgument("You should always set the Memory limit when using Memoryswap limit")
    swappiness = host.memory_swappiness
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise InvalidArgument(
            f"Invalid value: {swappiness}, valid memory swappiness range is 0-100"
        )
    reservation = host.memory_reservation or 0
    if 0 < reservation < LEAST_MEMORY:
        raise InvalidArgument("Minimum memory reservation allowed is 6MB")
    if memory and reservation > memory:
        raise InvalidArgument(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        )


def _check_cpu(host: HostConfig) -> None:
    nano, period, quota = host.nano_cpus or 0, host.cpu_period or 0, host.cpu_quota or 0
    if nano and (period or quota):
        other = "CPU Period" if period else "CPU Quota"
        raise InvalidArgument(f"Conflicting options: Nano CPUs and {other} cannot both be set")
    there = os.cpu_count() or 1
    if nano < 0 or nano > there * 10**9:
        raise InvalidArgument(
            f"range of CPUs is from 0.01 to {there}.00, as there are only {there} CPUs available"
        )
    if period and not 1000 <= period <= 1_000_000:
        raise InvalidArgument(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < quota < 1000:
        raise InvalidArgument("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    weight = host.blkio_weight or 0
    if weight and not 10 <= weight <= 1000:
        raise InvalidArgument("Range of blkio weight is from 10 to 1000")
