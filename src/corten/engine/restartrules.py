"""Which containers a restart policy starts again. No I/O."""

from __future__ import annotations

from corten.engine import states
from corten.engine.types import Container


def wanted(record: Container, code: int) -> bool:
    """Whether a container that has just ended with ``code`` is to be started again."""
    policy = record.config.restart
    if record.stopped:
        return False
    if policy.name == "on-failure":
        most = policy.maximum_retry_count
        return code != 0 and (most == 0 or record.restart_count < most)
    return policy.name in ("always", "unless-stopped")


def wanted_at_start(record: Container) -> bool:
    """Whether one that does not run is started when the daemon (or the machine) comes up."""
    if record.state.status == "restarting":
        return True
    if not record.state.started_at or states.has_process(record):
        return False
    name = record.config.restart.name
    return name == "always" or (name == "unless-stopped" and not record.stopped)
