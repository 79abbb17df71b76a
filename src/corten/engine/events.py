"""Events: what is stored, then what happens, without a gap and without a double."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from corten.engine import boot, tables
from corten.engine.door import Door
from corten.engine.types import Event
from corten.errors import ResourceExhausted
from corten.store import Database

_FOREVER = 1 << 62
_PAGE = 500
_BACKLOG = 10_000


class _Subscriber:
    """One reader; it is cut off rather than let grow without bound."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self.overrun = False

    def put(self, events: list[Event]) -> None:
        if self.queue.qsize() > _BACKLOG:
            self.overrun = True
            return
        for event in events:
            self.queue.put_nowait(event)


class EventLog:
    """History and subscriptions."""

    def __init__(self, db: Database, door: Door) -> None:
        self._db = db
        self._subscribers: set[_Subscriber] = set()
        self._closed = False
        door.listen(self._publish)

    def _publish(self, events: list[Event]) -> None:
        if events:
            for subscriber in self._subscribers:
                subscriber.put(events)

    def close(self) -> None:
        """End every iteration, after what was published."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.queue.put_nowait(None)

    async def follow(
        self, tenant: str | None, *, since: int | None, until: int | None, from_seq: int | None
    ) -> AsyncIterator[Event]:
        """Events of a tenant (None: of all).

        Arguments:
            since, until: nanoseconds since the epoch. ``until`` in the future ends the
                iteration at that time; None: never.
            from_seq: the first sequence number that is wanted; for a reader that resumes.
        Raises:
            ResourceExhausted: the reader was too slow; it may resume by ``from_seq``.
        """
        subscriber = _Subscriber()
        self._subscribers.add(subscriber)
        try:
            seen = await self._db.query(tables.last_seq)
            if since is not None or from_seq is not None:
                first = 0 if from_seq is None else from_seq - 1
                async for event in self._stored(first, seen, since or 0, until or _FOREVER):
                    if tenant in (None, event.tenant):
                        yield event
            async for event in self._live(subscriber, seen, until):
                if tenant in (None, event.tenant):
                    yield event
        finally:
            self._subscribers.discard(subscriber)

    async def _stored(self, after: int, last: int, since: int, until: int) -> AsyncIterator[Event]:
        while after < last:
            position = after
            page = await self._db.query(
                lambda c, at=position: tables.events_between(  # type: ignore[misc] # bound default
                    c, after_seq=at, since=since, until=until, limit=_PAGE
                )
            )
            for event in page:
                if event.seq > last:
                    return
                yield event
            if len(page) < _PAGE:
                return
            after = page[-1].seq

    async def _live(
        self, subscriber: _Subscriber, seen: int, until: int | None
    ) -> AsyncIterator[Event]:
        while not (self._closed and subscriber.queue.empty()):
            remaining = None if until is None else (until - boot.wall_ns()) / 1e9
            if remaining is not None and remaining <= 0:
                return
            event: Event | None = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(remaining):
                    event = await subscriber.queue.get()
            if event is None:
                return
            if event.seq > seen:
                yield event
            if subscriber.overrun and subscriber.queue.empty():
                raise ResourceExhausted(
                    "the reader of events is too slow",
                    hint=f"resume from sequence number {event.seq + 1}",
                )
