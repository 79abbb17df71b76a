"""Signalling every process of a group where the kernel has no file for it."""

from __future__ import annotations

import posix

from corten.errors import CortenError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cgroups.base import Cgroup

_ROUNDS = 10
_FREEZE_TIMEOUT = 0.5


def signal_all(cgroup: Cgroup, signal: int, *, thaw_for: bool) -> None:
    """Freeze, signal each process, thaw: nobody forks, exits or reuses a number meanwhile.

    Where freezing fails, rounds are repeated until no new process shows up.

    Arguments:
        thaw_for: thaw at the end even if the group was frozen before.
    """
    if not cgroup.pids():
        return
    was_frozen = cgroup.frozen()
    stopped = was_frozen or _try_freeze(cgroup)
    try:
        seen: set[int] = set()
        for _ in range(1 if stopped else _ROUNDS):
            fresh = [pid for pid in cgroup.pids() if pid not in seen]
            if not fresh:
                break
            for pid in fresh:
                _signal(pid, signal)
            seen.update(fresh)
    finally:
        if stopped and (thaw_for or not was_frozen):
            cgroup.thaw()


def _try_freeze(cgroup: Cgroup) -> bool:
    try:
        cgroup.freeze(timeout=_FREEZE_TIMEOUT)
    except CortenError:
        return False
    return True


def _signal(pid: int, signal: int) -> None:
    if pid <= 0:  # a process of another PID namespace shows as 0: kill(0) would be our own group
        return
    try:
        posix.kill(pid, signal)
    except ProcessLookupError:
        return
