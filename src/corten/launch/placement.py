"""Which cgroup the launcher, and so every monitor, lives in.

Under systemd a transient scope of ``corten-monitors.slice``: outside the daemon's unit, so that
a restart of the unit neither kills monitors nor trips over them (219/CGROUP). Without
systemd a plain group that bears the daemon's prefix.
"""

from __future__ import annotations

import os
import sys
from select import poll

from corten.errors import AlreadyExists, CortenError, Unavailable
from corten.launch.grouppaths import by_systemd, open_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cgroups.base import Cgroup

SLICE = "corten-monitors.slice"
_TRIES = 20
_PAUSE = 50  # milliseconds
_BOOTED = "/run/systemd/system"  # sd_booted(3)


def under_systemd() -> bool:
    """Whether systemd runs this machine."""
    return os.path.isdir(_BOOTED)


def move_into(group: str) -> None:
    """Move this process. What keeps it from that is said on stderr and is no reason to stop.

    Arguments:
        group: the plain group's path; its last part names the scope.
    """
    try:
        if under_systemd():
            text = "Corten's launcher and the monitors of its containers"
            _into_scope(f"{group.strip('/')}-{os.getpid()}.scope", SLICE, text)
        else:
            join(group)
    except CortenError as error:
        sys.stderr.write(f"corten launcher: it stays in the daemon's cgroup: {error}\n")


def join(path: str, *others: int) -> None:
    """Make the group ``path`` if need be and move this process into it, and ``others``. One that
    systemd is to make is a scope, and it makes none without a process: the first to come."""
    group = open_group(path)
    if by_systemd(path):
        _join_scope(group, path)
        for pid in others:
            group.add_process(pid)
        return
    group.create()
    for pid in (os.getpid(), *others):
        group.add_process(pid)


def _join_scope(group: Cgroup, path: str) -> None:
    from corten.cgroups import units  # loaded in the warm-up where systemd runs

    unit = units.parse(path)
    for _ in range(_TRIES):
        try:
            group.add_process(os.getpid())
            return
        except CortenError:
            pass  # it is not there, or goes with its last process
        try:
            _into_scope(unit.name, unit.slice, "Corten's monitors of a pod")
            return
        except AlreadyExists:
            poll().poll(_PAUSE)
    raise Unavailable("the scope neither is there nor can be made", path=path)


def _into_scope(name: str, slice: str, description: str) -> None:
    from corten.cgroups.manager import Manager

    properties = [
        ("Description", ("s", description)),
        ("Slice", ("s", slice)),
        ("CollectMode", ("s", "inactive-or-failed")),
        ("Delegate", ("b", True)),
        ("PIDs", ("au", [os.getpid()])),
    ]
    with Manager() as manager:
        manager.run_job("StartTransientUnit", "ssa(sv)a(sa(sv))", name, "replace", properties, [])
