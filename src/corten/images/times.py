"""Times of documents (RFC 3339) and ours (nanoseconds since the epoch)."""

from __future__ import annotations

from datetime import UTC, datetime


def from_rfc3339(text: str) -> int:
    """Nanoseconds since the epoch; 0 for what is no time (images in the wild have anything)."""
    body, _, fraction = text.partition(".")
    digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))]
    zone = fraction[len(digits) :] if fraction else ""
    try:
        when = datetime.fromisoformat(body + zone)
    except ValueError:
        return 0
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return int(when.timestamp()) * 1_000_000_000 + int(digits[:9].ljust(9, "0") or "0")


def to_rfc3339(seconds: int) -> str:
    """Seconds since the epoch as documents have them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
