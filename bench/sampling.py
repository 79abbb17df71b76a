"""Interleaved samples of two programs, and the row that comes of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Row:
    """One figure against one peer; the ratio is always such that smaller is better."""

    name: str
    unit: str
    peer: str
    goal: float
    better: str = "less"
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    limit: float | None = None

    @property
    def ratio(self) -> float:
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        return ours / theirs if self.better == "less" else theirs / ours

    def plain(self) -> dict[str, object]:
        """As ``bench/results.json`` has it."""
        data: dict[str, object] = {
            "name": self.name,
            "unit": self.unit,
            "better": self.better,
            "ours": [round(v, 4) for v in self.ours],
            "theirs": [round(v, 4) for v in self.theirs],
            "peer": self.peer,
            "goal": self.goal,
        }
        if self.limit is not None:
            data["limit"] = self.limit
        return data


def milliseconds(action: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def interleave(
    row: Row, ours: Callable[[], object], theirs: Callable[[], object], samples: int
) -> Row:
    """Time both in turn, after one call of each that does not count."""
    ours()
    theirs()
    for index in range(samples):
        pair = [(row.ours, ours), (row.theirs, theirs)]
        for sink, action in pair if index % 2 else reversed(pair):
            sink.append(milliseconds(action))
    return row
