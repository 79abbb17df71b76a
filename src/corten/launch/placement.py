"""Which cgroup the launcher, and so every monitor, lives in.

Under systemd a transient scope of ``corten-monitors.slice``: outside the daemon's unit, so that
a restart of the unit neither kills monitors nor trips over them (219/CGROUP). Without
systemd a plain group that bears the daemon's prefix.
"""

from __future__ import annotations

import os
import sys

from corten.cgroups import open_cgroup
from corten.errors import CortenError

SLICE = "corten-monitors.slice"
_BOOTED = "/run/systemd/system"  # sd_booted(3)


def move_into(group: str) -> None:
    """Move this process. What keeps it from that is said on stderr and is no reason to stop.

    Arguments:
        group: the plain group's path; its last part names the scope.
    """
    try:
        if os.path.isdir(_BOOTED):
            _into_scope(f"{group.strip('/')}-{os.getpid()}.scope")
        else:
            join(group)
    except CortenError as error:
        sys.stderr.write(f"corten launcher: it stays in the daemon's cgroup: {error}\n")


def join(path: str, *others: int) -> None:
    """Make the group ``path`` if need be and move this process into it, and ``others``."""
    group = open_cgroup(path)
    group.create()
    for pid in (os.getpid(), *others):
        group.add_process(pid)


def _into_scope(name: str) -> None:
    from corten.cgroups.manager import Manager

    properties = [
        ("Description", ("s", "Corten's launcher and the monitors of its containers")),
        ("Slice", ("s", SLICE)),
        ("CollectMode", ("s", "inactive-or-failed")),
        ("Delegate", ("b", True)),
        ("PIDs", ("au", [os.getpid()])),
    ]
    with Manager() as manager:
        manager.run_job("StartTransientUnit", "ssa(sv)a(sa(sv))", name, "replace", properties, [])
