"""How long each step of a start took."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from corten.engine.types import StepTime


class Clock:
    """Collects step times; a step lasts from the end of the one before."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.steps: list[StepTime] = []

    def step(self, name: str) -> None:
        """Everything since the last step was this one."""
        now = time.perf_counter()
        self.steps.append(StepTime(step=name, microseconds=round((now - self._last) * 1e6)))
        self._last = now

    def inner(self, steps: Iterable[Any]) -> None:
        """Steps that the monitor measured within the last one: (name, microseconds)."""
        self.steps += [StepTime(step=str(n), microseconds=int(us)) for n, us in steps]
