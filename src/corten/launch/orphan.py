"""A container whose monitor was killed: what it left is ended, removed and recorded."""

from __future__ import annotations

import os
from time import time_ns

from corten.errors import CortenError, FailedPrecondition
from corten.launch import messages
from corten.launch.binary import BinaryRuntime
from corten.launch.client import is_locked, read_state
from corten.launch.groups import kill_group
from corten.launch.messages import MonitorState, RuntimeChoice
from corten.launch.statefile import StateFile, boot_id

_LOST = 137


def bury(run_dir: str) -> MonitorState | None:
    """Finish what a monitor that is no more did not: kill and remove the cgroup, have a
    foreign runtime forget the container, record exit 137 with the reason ``monitor-lost``
    where no exit was recorded. Idempotent; blocks, so call it in a thread.

    Returns: the final state, ``cleaned``; None where no monitor ever wrote one.
    Raises:
        FailedPrecondition: a monitor lives in ``run_dir``.
        CortenError: something could not be removed; call again.
    """
    if is_locked(run_dir):
        raise FailedPrecondition("a monitor lives in this run directory", path=run_dir)
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
