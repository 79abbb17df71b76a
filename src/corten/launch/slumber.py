"""What an attendant leaves to its keeper, and the next one begins with: plain data and
descriptors. Each part of a monitor that lasts tells its own by ``rest`` and becomes it again
by a counterpart; one that is in the middle of something says None, and nobody rests."""

from __future__ import annotations

from corten.spec.jsonlite import dumpb, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Bag:
    """Descriptors under way. What :meth:`watch` and :meth:`hold` return stands for one in the
    data; -1 for none."""

    __slots__ = ("held", "watched")

    def __init__(self, watched: list[int] | None = None, held: list[int] | None = None) -> None:
        self.watched = watched or []
        self.held = held or []

    def watch(self, fd: int) -> int:
        """One whose readiness ends the rest."""
        if fd < 0:
            return -1
        self.watched.append(fd)
        return 2 * len(self.watched) - 2

    def hold(self, fd: int) -> int:
        """One that is only kept."""
        if fd < 0:
            return -1
        self.held.append(fd)
        return 2 * len(self.held) - 1

    def take(self, key: int) -> int:
        """The descriptor that a key stands for, now the caller's."""
        if key < 0:
            return -1
        return (self.held if key & 1 else self.watched)[key >> 1]


def pack(data: dict[str, Any], bag: Bag) -> bytes:
    """The data for the keeper; the descriptors go in the order watched, held."""
    return dumpb({**data, "watched": len(bag.watched)})


def unpack(state: bytes, fds: list[int]) -> tuple[dict[str, Any], Bag]:
    """Inverse of :func:`pack`."""
    data: dict[str, Any] = loads(state, what="what a monitor left")
    watched = int(data["watched"])
    return data, Bag(fds[:watched], fds[watched:])
