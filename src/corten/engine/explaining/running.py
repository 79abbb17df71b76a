"""The part of an explanation that is about what runs: of containers and of pods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from corten.engine.explaining import looking
from corten.engine.explaining.types import Group, MountPoint, Namespace, Process
from corten.launch import groups
from corten.launch.client import read_state


class Running(NamedTuple):
    """What the kernel says; empty where nothing runs."""

    processes: tuple[Process, ...] = ()
    mounts: tuple[MountPoint, ...] = ()
    cgroups: tuple[Group, ...] = ()
    namespaces: tuple[Namespace, ...] = ()


def look(run_dir: str, execs: Mapping[int, str], shared: Mapping[str, str], of: str) -> Running:
    """Look at the processes of a run; blocks.

    Arguments:
        run_dir: the monitor's.
        execs: process ids of execs, with their roles.
        shared: see :func:`looking.namespaces`.
        of: ``container`` or ``pod``, for its cgroups.
    """
    state = read_state(run_dir)
    if state is None:
        return Running()
    roles: dict[int, str] = {}
    if state.cgroup:
        roles = dict.fromkeys(groups.group_pids(state.cgroup), "")
    roles |= {pid: role for pid, role in execs.items() if pid in roles}
    if state.pid:
        roles[state.pid] = "init" if of == "container" else "reaper"
    inside = set(roles)
    roles |= monitor(state.monitor_pid, inside)
    found: list[Group] = looking.groups(state.pid, of) if state.pid else []
    if state.monitor_pid:
        found += looking.groups(state.monitor_pid, "monitor")
    return Running(
        processes=tuple(looking.processes(roles)),
        mounts=tuple(looking.mounts(state.pid)) if state.pid else (),
        cgroups=tuple(found),
        namespaces=tuple(looking.namespaces(state.pid, shared)) if state.pid else (),
    )


def monitor(pid: int, inside: set[int]) -> dict[int, str]:
    """The monitor's two processes, by their roles; the attendant may rest.

    Arguments:
        inside: the container's, which are the keeper's children, too.
    """
    if not pid:
        return {}
    return {pid: "keeper"} | {
        child: "attendant" for child in looking.children(pid) if child not in inside
    }
