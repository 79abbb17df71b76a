"""Cgroups for the engine, which may not import ``corten.cgroups``: by path, synchronous, to
be called in a thread. Statistics are read here, so that 300 monitors stay asleep."""

from __future__ import annotations

from time import monotonic, sleep

from corten.launch.client import read_state
from corten.launch.grouppaths import open_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LOOK = 0.01  # seconds


def run_pids(run_dir: str) -> list[int]:
    """Processes of the container whose monitor has this run directory: in the group that it was
    made in, whatever the daemon's settings are by now."""
    state = read_state(run_dir)
    return open_group(state.cgroup).pids() if state is not None and state.cgroup else []


def run_stats(run_dir: str) -> dict[str, Any]:
    """Counters of the group of the container whose monitor has this run directory, see
    ``corten.cgroups.base.Cgroup.stats``; empty if there is none."""
    state = read_state(run_dir)
    if state is None or not state.cgroup:
        return {}
    group = open_group(state.cgroup)
    return group.stats() if group.exists() else {}


def group_pids(path: str) -> list[int]:
    """Processes in the group and below; empty if there is no group."""
    return open_group(path).pids()


def group_exists(path: str) -> bool:
    """Whether there is such a group."""
    return open_group(path).exists()


def group_stats(path: str) -> dict[str, Any]:
    """Counters, see ``corten.cgroups.base.Cgroup.stats``."""
    return open_group(path).stats()


def kill_group(path: str, *, timeout: float = 5.0) -> None:
    """Kill everything inside and remove the group; nothing to do if it is gone.

    Raises:
        FailedPrecondition: still in use after ``timeout`` seconds.
    """
    group = open_group(path)
    if group.exists():
        group.kill(9)
        group.delete(timeout=timeout)


def remove_group_if_empty(path: str, patience: float = 0.0) -> None:
    """Remove a group that holds no process; one that still does after ``patience`` seconds
    stays."""
    group = open_group(path)
    end = monotonic() + patience
    while group.exists():
        if not group.pids():
            group.delete()
            return
        if monotonic() >= end:
            return
        sleep(_LOOK)
