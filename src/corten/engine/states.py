"""The states of a container, and how one follows from another.

::

    created ──start──▶ running ◀──pause/unpause──▶ paused
       ▲                  │ exit                      │ exit
       └─ a failed start  ▼                           ▼
          stays       exited ◀────────────────────────┘ ──start──▶ running
                      restarting: the same, but its policy starts it again ──▶ running

A container that runs has a monitor; ``exited`` is recorded when everything of the run is
gone. Removal deletes the record, whatever the state.
"""

from __future__ import annotations

import msgspec

from corten.engine.healthrules import program
from corten.engine.types import Container, Health, State
from corten.errors import FailedPrecondition

_replace = msgspec.structs.replace

RUNNING = ("running", "paused", "restarting")


def is_running(record: Container) -> bool:
    """Whether its process exists (paused ones do), or its policy will make one."""
    return record.state.status in RUNNING


def has_process(record: Container) -> bool:
    """Whether its process exists."""
    return record.state.status in ("running", "paused")


def require_running(record: Container) -> Container:
    """Raises FailedPrecondition if it does not run."""
    if not is_running(record):
        raise FailedPrecondition(f"container {record.id} is not running")
    return record


def started(record: Container, *, pid: int, started_at: int, boot_id: str) -> Container:
    """It runs."""
    checked = program(record.config.health)
    state = State(
        status="running",
        pid=pid,
        started_at=started_at,
        boot_id=boot_id,
        health=Health(status="starting") if checked else None,
    )
    return _replace(record, state=state)


def start_failed(record: Container, *, code: int, error: str) -> Container:
    """It never ran; it can be started again."""
    status = "exited" if record.state.status == "restarting" else record.state.status
    state = _replace(record.state, status=status, exit_code=code, error=error)
    return _replace(record, state=state)


def exited(
    record: Container,
    *,
    code: int,
    finished_at: int,
    oom_killed: bool = False,
    reason: str = "",
    error: str = "",
) -> Container:
    """It ran and does not any more."""
    state = State(
        status="exited",
        exit_code=code,
        error=error,
        reason=reason or ("oom" if oom_killed else ""),
        oom_killed=oom_killed,
        started_at=record.state.started_at,
        finished_at=finished_at,
        boot_id=record.state.boot_id,
        health=_unhealthy(record.state.health),
    )
    return _replace(record, state=state)


def _unhealthy(health: Health | None) -> Health | None:
    """Docker says so of what is checked no more."""
    return None if health is None else _replace(health, status="unhealthy")


def with_status(record: Container, status: str) -> Container:
    """``paused`` or ``running``."""
    return _replace(record, state=_replace(record.state, status=status))
