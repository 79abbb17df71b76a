"""Limits of ``HostConfig`` in the engine's words; the engine checks them. No I/O."""

from __future__ import annotations

from corten.dockerapi.requests import HostConfig
from corten.engine.types import Resources, Ulimit


def resources(host: HostConfig, *, default_swap: bool = True) -> Resources:
    """The engine's resources.

    Arguments:
        default_swap: a limit of memory alone brings as much swap.
    """
    memory, swap = host.memory or 0, host.memory_swap or 0
    if memory > 0 and not swap and default_swap:
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
    """``Ulimits``."""
    return tuple(
        Ulimit(name=limit.name.lower().removeprefix("rlimit_"), soft=limit.soft, hard=limit.hard)
        for limit in host.ulimits or ()
    )
