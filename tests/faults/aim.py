"""The test's side of the tracer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.machine import attempt

_TRACER = Path(__file__).with_name("tracer.py")
NEVER = 0


class Shot:
    """What came of it.

    Attributes:
        error: what the action raised; None: nothing.
        killed: the number of the system call at which the process was killed; None: it did
            not come so far.
        calls: how many system calls it made.
    """

    def __init__(self, error: BaseException | None, output: str) -> None:
        self.error = error
        self.killed: int | None = None
        self.calls = 0
        for line in output.splitlines():
            word, *values = line.split()
            if word == "killed":
                self.killed = int(values[1])
            elif word == "counted":
                self.calls = int(values[0])


def shoot(pid: int, generation: int, when: int, action: Callable[[], Any]) -> Shot:
    """Run an action while the process, or a fork of it, is killed at its ``when``-th call."""
    words = [sys.executable, "-IS", str(_TRACER), str(pid), str(generation), str(when)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as tracer:
        assert tracer.stdout is not None
        try:
            assert tracer.stdout.readline() == "attached\n"
            error = attempt(action)
        finally:
            tracer.terminate()
        return Shot(error, tracer.stdout.read())
