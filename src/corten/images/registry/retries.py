"""When to try again, and how long to wait: decided without I/O."""

from __future__ import annotations

import random
from email.utils import parsedate_to_datetime

# What a registry or something before it answers when it is overloaded or being restarted.
TRANSIENT = frozenset((408, 429, 500, 502, 503, 504))
_FIRST = 0.5  # seconds
_LONGEST = 30.0
_PROGRESS = 1 << 20  # bytes that make up for one failure


def retry_after(value: str, now: float) -> float | None:
    """Seconds that a ``Retry-After`` header asks for (RFC 9110, 10.2.3); None: it says nothing.

    Arguments:
        now: seconds since the epoch.
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None


class Budget:
    """How often one transfer may fail.

    A transfer that gets on may fail as often as it likes; one that trickles may not.
    """

    def __init__(self, attempts: int, longest: float = _LONGEST) -> None:
        self._attempts = attempts
        self._longest = longest
        self._failures = 0
        self._offset = 0

    def failed(self, offset: int = 0, asked: float | None = None) -> float | None:
        """One more failure, at ``offset`` bytes.

        Arguments:
            asked: seconds that the server asked for.
        Returns:
            seconds to wait before the next attempt; None: give up.
        """
        if offset - self._offset >= _PROGRESS:
            self._failures = 0
        self._offset = max(offset, self._offset)
        self._failures += 1
        if self._failures >= self._attempts:
            return None
        if asked is not None:
            return None if asked > self._longest else asked
        backoff = min(_FIRST * 2.0 ** (self._failures - 1), self._longest)
        return backoff * random.uniform(0.75, 1.25)  # noqa: S311  # spreads load, no secret
