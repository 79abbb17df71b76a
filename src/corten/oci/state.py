"""A container's state as the specification writes it (runtime.md, "State")."""

from __future__ import annotations

from corten.spec import jsonlite
from corten.spec.runtime import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.oci.planned import Plan


def state_of(plan: Plan, status: str, pid: int = 0) -> dict[str, Any]:
    """The state as plain data; ``pid`` 0 is left out."""
    state: dict[str, Any] = {
        "ociVersion": VERSION,
        "id": plan.options.container_id,
        "status": status,
        "bundle": plan.bundle,
    }
    if pid:
        state["pid"] = pid
    if plan.config.annotations:
        state["annotations"] = plan.config.annotations
    return state


def hook_state(plan: Plan, status: str, pid: int) -> bytes:
    """What a hook reads from its standard input."""
    return jsonlite.dumpb(state_of(plan, status, pid))
