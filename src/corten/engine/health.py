"""What the monitors' health checks find. A change of the state is recorded and told; that a check
found the same again is known to the view alone: fifty containers check each second."""

from __future__ import annotations

import msgspec

from corten.engine import states
from corten.engine.door import Tx
from corten.engine.healthrules import health_of, result
from corten.engine.parts import Parts
from corten.engine.types import Container, Health
from corten.errors import NotFound
from corten.launch.messages import HealthChecked

_replace = msgspec.structs.replace
_KEPT = 5  # results


class HealthKeeper:
    """Hears of every check."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        parts.sink.health_checked = self._checked

    def _checked(self, container_id: str, checked: HealthChecked) -> None:
        record = self._parts.view.containers.get(container_id)
        if record is None or not states.has_process(record) or record.state.health is None:
            return
        before = record.state.health
        now = health_of(
            checked.status, checked.streak, (*before.log, result(checked.result))[-_KEPT:]
        )
        self._parts.view.put_container(_with(record, now))
        if now.status != before.status:
            self._parts.operations.background(
                self._record(container_id, record.state.started_at, now),
                f"health-{container_id[:12]}",
            )

    async def _record(self, container_id: str, started_at: int, health: Health) -> None:
        def step(tx: Tx) -> None:
            now = tx.container(container_id)
            if states.has_process(now) and now.state.started_at == started_at:
                tx.container_event(
                    tx.put_container(_with(now, health)), f"health_status: {health.status}"
                )

        try:
            await self._parts.door.commit(step)
        except NotFound:
            return


def _with(record: Container, health: Health) -> Container:
    return _replace(record, state=_replace(record.state, health=health))
