"""The lines of a container's log, as they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec

from corten.engine.boot import wall_ns
from corten.engine.closing import closing
from corten.engine.logs.files import Open, open_all, seek_tail
from corten.engine.logs.formats import parse_cri, parse_json
from corten.engine.logs.news import News
from corten.engine.pools import Pool
from corten.engine.types import LogLine

_READ = 30.0  # seconds for a piece of a local file
_MOMENT = 0.001  # seconds

_OVER = asyncio.Event()
_OVER.set()


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of a log.

    Fields:
        follow: what comes until the container ends, too.
        tail: the last lines only, counted before streams and times are looked at, as under
            Docker; None: all.
        since, until: nanoseconds since the epoch; 0: no limit.
    """

    stdout: bool = True
    stderr: bool = True
    follow: bool = False
    tail: int | None = None
    since: int = 0
    until: int = 0

    def wants(self, line: LogLine) -> bool:
        """Whether the line is one of those asked for (``until`` ends the reading)."""
        return (self.stdout if line.stream == "stdout" else self.stderr) and (
            line.time >= self.since
        )


async def read_log(
    pool: Pool, path: str, kind: str, query: Query, ended: asyncio.Event | None
) -> AsyncIterator[LogLine]:
    """Lines in the order in which they were written.

    Arguments:
        pool: for the blocking reads.
        kind: ``json-file`` or ``cri``.
        ended: set when nothing more will come; None: nothing will.
    """
    parse = parse_cri if kind == "cri" else parse_json
    reader = _Reader(pool, path, query, ended or _OVER)
    try:
        async with closing(reader.batches()) as batches:
            async for batch in batches:
                for raw in batch:
                    line = parse(raw)
                    if line is None:
                        continue
                    if query.until and line.time > query.until:
                        return
                    if query.wants(line):
                        yield line
    finally:
        reader.close()


class _Reader:
    """Walks through the files of a log, oldest first, and on with the newest."""

    def __init__(self, pool: Pool, path: str, query: Query, ended: asyncio.Event) -> None:
        self._pool = pool
        self._path = path
        self._query = query
        self._ended = ended
        self._files: list[Open] = []
        self._news: News | None = None

    def close(self) -> None:
        """Let go of the files; a read that is still under way closes them when it ends."""
        if self._news is not None:
            self._news.close()
        self._files = []

    async def batches(self) -> AsyncIterator[list[bytes]]:
        self._files = await self._pool.run(open_all, self._path, deadline=_READ)
        if self._query.tail is not None:
            await self._pool.run(seek_tail, self._files, self._query.tail, deadline=_READ)
        if self._query.follow:
            # Before the first look, so that nothing falls between the two.
            self._news = News(self._path, self._ended)
        while True:
            over = not self._query.follow or self._ended.is_set()
            lines = await self._next()
            if lines:
                yield lines
            elif over or self._past_until():
                return  # nothing came since it was over
            elif self._news is not None:
                await self._news.wait(self._seconds_left())

    async def _next(self) -> list[bytes]:
        return await self._pool.run(self._read, deadline=_READ)

    def _read(self) -> list[bytes]:
        """The next lines of whichever file has them; blocking."""
        if not self._files:
            self._files = open_all(self._path)
        files = self._files
        while files:
            file = files[0]
            replaced = len(files) > 1 or file.replaced()
            lines = file.lines()
            if lines or not replaced:
                return lines
            # Renamed before we read to its end: nothing more can come into this one.
            if len(files) == 1:
                files += _newer(open_all(self._path), file)
                if len(files) == 1:
                    return []
            files.pop(0).close()
        return []

    def _past_until(self) -> bool:
        return bool(self._query.until) and wall_ns() > self._query.until

    def _seconds_left(self) -> float | None:
        if not self._query.until:
            return None
        return max(0.0, (self._query.until - wall_ns()) / 1e9) + _MOMENT


def _newer(files: list[Open], than: Open) -> list[Open]:
    """Those behind ``than`` (all, if it is not among them any more); closes the others."""
    at = next((n for n, one in enumerate(files) if one.identity == than.identity), -1)
    for one in files[: at + 1]:
        one.close()
    return files[at + 1 :]
