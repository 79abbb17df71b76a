"""Endpoints on their way out: the slow part of a detach, off everybody's path."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from corten.errors import CortenError
from corten.networks import host, records
from corten.networks.types import Attachment
from corten.networks.worker import Workers
from corten.store.database import Database

_log = logging.getLogger(__name__)

# The kernel removes a veth 30 to 50 ms after its namespace's last process; asking after
# that costs nothing, asking before costs 15 to 25 ms of waiting for each.
_GRACE = 0.1
_PATIENCE = 5.0
_AGAIN = 1.0  # seconds between attempts, for instance while the disk is full


class Leaving:
    """Removes interfaces, then records, in groups.

    Arguments:
        left: called for each endpoint once it is gone.
    """

    def __init__(self, db: Database, workers: Workers, left: Callable[[Attachment], None]) -> None:
        self._db = db
        self._workers = workers
        self._left = left
        self._queue: list[Attachment] = []
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def endpoints(self) -> Sequence[Attachment]:
        """What is not gone yet."""
        return tuple(self._queue)

    def add(self, endpoints: Sequence[Attachment]) -> None:
        """Let these go."""
        self._queue += endpoints
        if self._queue and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._work(_GRACE))

    async def _work(self, grace: float) -> None:
        while self._queue:
            await asyncio.sleep(grace)
            group = tuple(self._queue)
            try:
                await self._remove(group)
            except CortenError as error:
                _log.warning("an interface can't be removed now: %s", error)
                if self._closing:  # the records stay: the next start of the daemon tries again
                    return
                grace = _AGAIN
            else:
                del self._queue[: len(group)]
                grace = _GRACE

    async def _remove(self, group: Sequence[Attachment]) -> None:
        names = [e.host_interface for e in group]
        await self._workers.remove("disconnect", host.remove_links, names)
        ids = [e.id for e in group]
        await self._db.write(partial(records.remove_endpoints, ids=ids), durable=False)
        for endpoint in group:
            self._left(endpoint)

    async def drain(self) -> None:
        """Return when all that is leaving now is gone, or takes too long."""
        if self._task is not None and not self._task.done():
            await asyncio.wait({self._task}, timeout=_PATIENCE)

    async def close(self) -> None:
        """Return when all are gone, or can't be removed now."""
        self._closing = True
        if self._task is not None:
            await self._task
