"""What every suite uses."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_TRIES = 20  # a second, where there is time
_STARVED = 4  # times the deadline


def eventually(probe: Callable[[], T], *, deadline: float = 10.0, what: str = "") -> T:
    """Call ``probe`` until it returns something true; its last answer. For what the kernel
    or another process does late; never a substitute for an event.

    Arguments:
        deadline: seconds until the failure; more on a machine where this process itself gets
            hardly any time, and so those it waits for.
        what: what was waited for, for the failure's text.
    """
    begin = time.monotonic()
    tries = 0
    while True:
        answer = probe()
        tries += 1
        if answer:
            return answer
        passed = time.monotonic() - begin
        if passed > deadline and (tries > deadline * _TRIES or passed > deadline * _STARVED):
            raise AssertionError(f"not within {deadline} s: {what or probe}; last: {answer!r}")
        time.sleep(0.01)


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal: the first one of a container has none by
    default, and would not get it at all."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def wiped(path: Path) -> None:
    """Remove a directory in which processes that are about to end still make and remove files."""

    def gone() -> bool:
        shutil.rmtree(path, ignore_errors=True)
        return not path.exists()

    eventually(gone, what=f"{path} is removed")
