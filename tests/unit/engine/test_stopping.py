"""Stopping what is not there yet."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from corten.engine.stopping import Signaller
from corten.errors import NotFound
from corten.launch.messages import Kill


class Starting:
    """A run whose monitor is still being made: nobody hears it."""

    def __init__(self) -> None:
        self.container_id = "one"
        self.started: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.finished = asyncio.Event()
        self.monitor = self
        self.listens = False
        self.unheard = 0

    async def call(self, request: Any) -> None:
        assert isinstance(request, Kill)
        if not self.listens:
            self.unheard += 1
            raise NotFound("the container has ended")
        self.finished.set()


class Door:
    async def commit(self, _step: Any) -> None:
        """No record in this test."""


def _parts(run: Starting) -> Any:
    """What a stop uses."""
    settings = SimpleNamespace(start_deadline=60.0)
    return SimpleNamespace(runs={"one": run}, door=Door(), settings=settings)


def test_a_kill_during_the_start_waits_for_somebody_who_hears_it() -> None:
    async def scenario() -> int:
        run = Starting()
        signaller = Signaller(_parts(run))
        stop = asyncio.create_task(signaller.finish_stop("one", 9, 0))
        await asyncio.sleep(0)  # it has begun
        run.listens = True
        run.started.set_result(True)
        await stop
        return run.unheard

    assert asyncio.run(scenario()) == 0
