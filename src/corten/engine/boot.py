"""Which boot of the machine this is, and the two clocks of events."""

from __future__ import annotations

import time

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def boot_id() -> str:
    """The kernel's random id of this boot; another one means that everything that ran is gone."""
    with open(_BOOT_ID, encoding="ascii") as file:  # noqa: PTH123 one read of procfs
        return file.read().strip()


def wall_ns() -> int:
    """Nanoseconds since the epoch; may jump."""
    return time.time_ns()


def boot_ns() -> int:
    """Nanoseconds since the boot, suspension included; never goes back."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
