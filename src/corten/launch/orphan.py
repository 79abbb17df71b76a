"""A container whose monitor was killed: what it left is ended, removed and recorded."""

from __future__ import annotations

import os
from select import poll
from time import monotonic, time_ns

from corten.errors import CortenError, FailedPrecondition
from corten.launch import messages
from corten.launch.binary import BinaryRuntime
from corten.launch.client import is_locked, read_state
from corten.launch.groups import kill_group
from corten.launch.messages import MonitorState, RuntimeChoice
from corten.launch.statefile import StateFile, boot_id

_LOST = 137
_LOOK = 5  # milliseconds between looks at the lock


def bury(run_dir: str, *, patience: float = 10.0) -> MonitorState | None:
    """Finish what a monitor that is no more did not: kill and remove the cgroup, have a
    foreign runtime forget the container, record exit 137 with the reason ``monitor-lost``
    where no exit was recorded. Idempotent; blocks, so call it in a thread.

    Arguments:
        patience: seconds in which forks of the monitor's that were making something have to
            end: they die with it, but a moment later.

    Returns: the final state, ``cleaned``; None where no monitor ever wrote one.
    Raises:
        FailedPrecondition: a monitor lives in ``run_dir``.
        CortenError: something could not be removed; call again.
    """
    _await_unlocked(run_dir, patience)
    state = read_state(run_dir)
    if state is None or state.cleaned:
        return state
    if state.boot_id == boot_id():
        _end_processes(run_dir, state)
    file = StateFile(run_dir, state)
    if state.status != "exited":
        file.record.update(
            status="exited",
            exit_code=_LOST,
            signal=9,
            finished_at=time_ns(),
            reason="monitor-lost",
        )
    for record in file.record["execs"].values():
        if record["status"] != "exited":
            record.update(status="exited", exit_code=_LOST, signal=9, finished_at=time_ns())
    file.set(cleaned=True)
    return messages.read(MonitorState, file.record)


def _await_unlocked(run_dir: str, patience: float) -> None:
    end = monotonic() + patience
    while is_locked(run_dir):
        if monotonic() > end:
            raise FailedPrecondition("a monitor lives in this run directory", path=run_dir)
        poll().poll(_LOOK)


def _end_processes(run_dir: str, state: MonitorState) -> None:
    choice = messages.read(RuntimeChoice, state.runtime)
    if choice.kind == "binary":
        runtime = BinaryRuntime(choice, run_dir)
        try:
            runtime.forget(state.id)
        except CortenError:
            pass  # it never knew it, or is gone: the cgroup counts
    if state.cgroup:
        kill_group(state.cgroup)
    for name in ("monitor.sock", "console.sock"):
        try:
            os.unlink(f"{run_dir}/{name}")
        except FileNotFoundError:
            continue
