"""Health checks as they are asked for and as they are told of. No I/O."""

from __future__ import annotations

from typing import Any, Literal

from corten.engine.types import Health, HealthConfig, HealthResult

_INTERVAL = _TIMEOUT = 30.0  # seconds; Docker's
_RETRIES = 3
_SHELL = ("/bin/sh", "-c")


def program(config: HealthConfig | None, shell: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What is executed; empty: nothing is checked.

    Arguments:
        shell: the image's, for the form ``CMD-SHELL``.
    """
    if config is None or not config.test:
        return ()
    kind, *words = config.test
    if kind == "CMD":
        return tuple(words)
    return (*(shell or _SHELL), *words) if kind == "CMD-SHELL" else ()


def request(config: HealthConfig, process: dict[str, Any]) -> dict[str, Any]:
    """The member ``health`` of the message that makes a monitor."""
    return {
        "process": process,
        "interval": config.interval or _INTERVAL,
        "timeout": config.timeout or _TIMEOUT,
        "start_period": config.start_period,
        "start_interval": config.start_interval,
        "retries": config.retries or _RETRIES,
    }


def health_of(status: str, streak: int, log: tuple[HealthResult, ...]) -> Health:
    """The record; a word of a newer monitor's is the worst that is known."""
    known: dict[str, Literal["starting", "healthy", "unhealthy"]] = {
        "starting": "starting",
        "healthy": "healthy",
    }
    return Health(status=known.get(status, "unhealthy"), failing_streak=streak, log=log)


def from_monitor(found: dict[str, Any]) -> Health:
    """What a monitor's state says."""
    log = tuple(result(entry) for entry in found.get("log", ()))
    return health_of(str(found["status"]), int(found["streak"]), log)


def result(entry: dict[str, Any]) -> HealthResult:
    """One of a monitor's results."""
    return HealthResult(
        start=int(entry["start"]),
        end=int(entry["end"]),
        exit_code=int(entry["code"]),
        output=str(entry["output"]),
    )
