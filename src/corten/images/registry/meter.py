"""How a transfer gets on: progress for people, and a deadline for one that trickles."""

from __future__ import annotations

import time

from corten.images.types import Progress, ProgressSink

_EVERY = 0.1  # seconds between two reports


class Meter:
    """Measures one blob's transfer."""

    def __init__(
        self, name: str, total: int, report: ProgressSink, *, status: str = "Downloading"
    ) -> None:
        """Arguments:
        name: the layer's short digest.
        total: bytes of the blob.
        status: what is being done.
        """
        self._status = status
        self._name = name
        self._total = total
        self._report = report
        self._shown = 0.0
        self._window = 0.0
        self._least = 0.0
        self._since = 0.0
        self._bytes = 0

    def begin(self, window: float, least: int) -> None:
        """A new connection.

        Arguments:
            window: seconds over which the throughput is looked at.
            least: bytes per second.
        """
        self._window = window
        self._least = window * least
        self._since = time.monotonic()
        self._bytes = 0

    def too_slow(self, count: int) -> bool:
        """Note ``count`` bytes; whether the last window had too few."""
        self._bytes += count
        now = time.monotonic()
        if now - self._since < self._window:
            return False
        slow = self._bytes < self._least
        self._since = now
        self._bytes = 0
        return slow

    def show(self, done: int, *, last: bool = False) -> None:
        """Report, not too often."""
        now = time.monotonic()
        if last or now - self._shown >= _EVERY:
            self._shown = now
            self._report(
                Progress(id=self._name, status=self._status, current=done, total=self._total)
            )
