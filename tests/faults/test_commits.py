"""``cortend`` killed right before and right after each commit of its database, while it
creates, starts, stops, removes: then each object is wholly there, in a true state, or
wholly absent, its name is free, a retry works, and nothing is leaked."""

from __future__ import annotations

import random

import pytest

from tests.faults.machine import Machine
from tests.faults.sample import sampled
from tests.faults.steps import STEPS, interrupt

_POINTS = [
    (name, f"{when} {number}")
    for name, step in STEPS.items()
    for number in range(1, step.commits + 1)
    for when in ("before", "after")
]


@pytest.mark.parametrize(("name", "order"), sampled(_POINTS, 18))
def test_a_step_that_was_interrupted(calm: Machine, name: str, order: str) -> None:
    interrupt(calm, STEPS[name], order)


@pytest.mark.parametrize("name", sampled(list(STEPS), 2))
def test_a_recovery_that_was_interrupted(calm: Machine, name: str, seed: int) -> None:
    """Killed in a step, and once more while it takes that back or finishes it."""
    chance = random.Random(f"{seed} {name}")
    step = STEPS[name]
    for _ in range(2):
        first = f"after {chance.randint(1, step.commits)}"
        second = f"{chance.choice(('before', 'after'))} {chance.randint(1, 3)}"
        interrupt(calm, step, first, second)
