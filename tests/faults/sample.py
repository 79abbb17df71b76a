"""A seeded sample of a long list of cases; the rest is run by ``make soak``."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TypeVar

import pytest

T = TypeVar("T")


def sampled(cases: Sequence[T], count: int) -> list[T | object]:
    """All of the cases; those beyond ``count`` bear the mark ``soak``.

    Every run with the same seed takes the same ones.
    """
    seed = os.environ.get("CORTEN_SEED") or "20261124"
    chosen = set(random.Random(f"{seed} {cases}").sample(range(len(cases)), min(count, len(cases))))
    return [
        case if number in chosen else pytest.param(*_values(case), marks=pytest.mark.soak)
        for number, case in enumerate(cases)
    ]


def _values(case: object) -> tuple[object, ...]:
    return case if isinstance(case, tuple) else (case,)
