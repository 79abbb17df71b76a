"""Times and durations in docker's forms. No I/O."""

from __future__ import annotations

from datetime import UTC, datetime

ZERO = "0001-01-01T00:00:00Z"  # Go's zero time: "never"

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def rfc3339(nanoseconds: int) -> str:
    """Go's RFC3339Nano in UTC, trailing zeros of the fraction cut; 0 is :data:`ZERO`."""
    if not nanoseconds:
        return ZERO
    seconds, fraction = divmod(nanoseconds, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f"{fraction:09d}".rstrip("0")
    return f"{text}.{digits}Z" if digits else f"{text}Z"


def seconds(nanoseconds: int) -> str:
    """RFC 3339 in UTC without a fraction, as docker tells when a volume was made."""
    return rfc3339(nanoseconds // 10**9 * 10**9)


def rfc3339_fixed(nanoseconds: int) -> str:
    """The same with all nine digits, as in ``docker logs --timestamps``."""
    seconds, fraction = divmod(nanoseconds, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09d}Z"


def human(seconds: float) -> str:
    """A duration as ``docker ps`` says it ("About a minute", "3 weeks")."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < _MINUTE:
        return f"{whole} seconds"
    if whole < 2 * _MINUTE:
        return "About a minute"
    if whole < _HOUR:
        return f"{whole // _MINUTE} minutes"
    hours = int(seconds / _HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    days = int(seconds / _HOUR) // 24
    if days < 14:
        return f"{days} days"
    if days < 60:
        return f"{days // 7} weeks"
    if days < 730:
        return f"{days // 30} months"
    return f"{days // 365} years"
