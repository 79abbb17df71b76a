"""Restart policies: who is started again after an exit, and after how long.

Whether a container is started again is decided in the transaction that records its exit (the
state ``restarting`` says so), so a daemon that comes later, also after a reboot, does it.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec

from corten.engine import states
from corten.engine.door import Tx
from corten.engine.parts import Parts
from corten.engine.restartrules import wanted_at_start
from corten.engine.starting import Starter
from corten.engine.types import Container
from corten.errors import CortenError, FailedPrecondition, NotFound, NotModified, Unavailable

_log = logging.getLogger(__name__)
_FIRST, _LAST = 0.1, 60.0  # seconds before a start; doubled each time, Docker's
_LONG = 10.0  # seconds of a run after which the pauses begin anew
_GOING_DOWN = 15.0  # seconds: by then a machine that shuts down has ended us
_TRIES = 8  # starts after a boot, while what a container needs comes up as well


class Policies:
    """Starts containers again."""

    def __init__(self, parts: Parts, starter: Starter) -> None:
        self._parts = parts
        self._starter = starter
        self._pauses: dict[str, float] = {}
        self._waiting: dict[str, asyncio.Task[None]] = {}
        parts.give_up = self.give_up

    def after_exit(self, record: Container) -> None:
        """Begin to wait, if the exit's record says that it is to be started again."""
        if record.state.status == "restarting":
            self._schedule(record, self.pause(record), tries=1)
        else:
            self._pauses.pop(record.id, None)

    def pause(self, record: Container) -> float:
        """Seconds until the next start."""
        state = record.state
        if state.reason == "shutdown":
            return _GOING_DOWN
        last = self._pauses.get(record.id, 0.0)
        if (state.finished_at - state.started_at) / 1e9 >= _LONG:
            last = 0.0
        pause = self._pauses[record.id] = min(max(2 * last, _FIRST), _LAST)
        return pause

    def resume(self) -> None:
        """After the daemon's start."""
        for record in list(self._parts.view.containers.values()):
            if wanted_at_start(record):
                self._schedule(record, _FIRST, tries=_TRIES)

    async def give_up(self, container_id: str) -> bool:
        """Start it no more. False: it does not wait for a start."""
        task = self._waiting.pop(container_id, None)
        if task is not None:
            task.cancel()
        self._pauses.pop(container_id, None)

        def step(tx: Tx) -> bool:
            now = tx.container(container_id)
            if now.state.status != "restarting":
                return False
            tx.put_container(
                msgspec.structs.replace(states.with_status(now, "exited"), stopped=True)
            )
            return True

        async with self._parts.locks.hold(("container", container_id)):
            return await self._parts.door.commit(step)

    def _schedule(self, record: Container, pause: float, *, tries: int) -> None:
        earlier = self._waiting.pop(record.id, None)
        if earlier is not None:
            earlier.cancel()
        self._waiting[record.id] = self._parts.operations.watch(
            self._later(record, pause, tries), f"restart-{record.id[:12]}"
        )

    async def _later(self, record: Container, pause: float, tries: int) -> None:
        while True:
            await asyncio.sleep(pause)
            tries -= 1
            try:
                await self._starter.start(record.tenant, record.id, by_policy=True)
            except (NotModified, NotFound):
                pass  # somebody else was faster
            except (FailedPrecondition, Unavailable) as error:
                if tries:  # what it shares may not be there yet
                    pause = min(2 * pause, _LAST)
                    continue
                _log.warning("restart of %s: %s", record.id[:12], error)
            except CortenError as error:
                _log.warning("restart of %s: %s", record.id[:12], error)
            break
        self._waiting.pop(record.id, None)
