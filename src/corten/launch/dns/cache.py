"""Answers of other servers, kept for as long as they may be."""

from __future__ import annotations

from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.launch.dns.packets import Answer

    Key = tuple[object, ...]

_MOST = 1000  # answers
_LONGEST = 300  # seconds


class Cache:
    """By question and by who was asked."""

    def __init__(self) -> None:
        self._kept: dict[Key, tuple[float, Answer]] = {}

    def get(self, key: Key, number: int) -> bytes | None:
        """A kept answer for the asker's number."""
        found = self._kept.get(key)
        if found is None:
            return None
        age = int(monotonic() - found[0])
        if age >= min(found[1].lifetime, _LONGEST):
            del self._kept[key]
            return None
        return found[1].renewed(number, age)

    def put(self, key: Key, answer: Answer) -> None:
        """Keep it, if it may be; the oldest makes room."""
        if not answer.lifetime:
            return
        self._kept.pop(key, None)
        if len(self._kept) >= _MOST:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = (monotonic(), answer)
