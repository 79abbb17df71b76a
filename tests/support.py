"""What every suite uses."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(probe: Callable[[], T], *, deadline: float = 10.0, what: str = "") -> T:
    """Call ``probe`` until it returns something true; its last answer. For what the kernel
    or another process does late; never a substitute for an event.

    Arguments:
        deadline: seconds until the failure.
        what: what was waited for, for the failure's text.
    """
    end = time.monotonic() + deadline
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what or probe}; last: {answer!r}")
        time.sleep(0.01)
