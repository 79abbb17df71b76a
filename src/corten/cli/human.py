"""Numbers as docker prints them: sizes, durations, times."""

from __future__ import annotations

import time

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size(count: float, *, digits: int = 3) -> str:
    """``7.34MB``: powers of 1000, so many significant digits."""
    return _scaled(count, 1000, _DECIMAL, digits)


def binary_size(count: float) -> str:
    """``62.79GiB``: powers of 1024."""
    return _scaled(count, 1024, _BINARY, 4)


def _scaled(count: float, base: int, units: tuple[str, ...], digits: int) -> str:
    index = 0
    while count >= base and index < len(units) - 1:
        count /= base
        index += 1
    text = f"{count:.{digits}g}"
    return (f"{count:.0f}" if "e" in text else text) + units[index]


def duration(seconds: float) -> str:
    """``About a minute``, ``3 hours``, ``2 weeks``."""
    count = int(seconds)
    if count < 1:
        return "Less than a second"
    if count == 1:
        return "1 second"
    if count < 60:
        return f"{count} seconds"
    minutes = count // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    return _long_duration(int(seconds / 3600 + 0.5))


def _long_duration(hours: int) -> str:
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{hours // 24 // 365} years"


def ago(nanoseconds: int, now: float | None = None) -> str:
    """How long ago a time was, with ``ago``; ``N/A`` for 0."""
    if not nanoseconds:
        return "N/A"
    return duration(max(0.0, (now or time.time()) - nanoseconds / 1e9)) + " ago"


def rfc3339(nanoseconds: int) -> str:
    """``2026-11-24T12:00:00.123456789Z``; Docker's zero time for 0."""
    if not nanoseconds:
        return "0001-01-01T00:00:00Z"
    seconds, rest = divmod(nanoseconds, 10**9)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{text}{fraction}Z"


def log_time(nanoseconds: int) -> str:
    """As :func:`rfc3339`, always with nine digits, so that lines align."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"


def created_at(nanoseconds: int) -> str:
    """``2026-11-24 12:00:00 +0000 UTC``, in local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(nanoseconds / 1e9))
