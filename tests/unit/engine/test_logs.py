"""Reading logs: formats, tails, rotations, following."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from corten.engine.logs import Query, read_log
from corten.engine.logs.files import Open, open_all
from corten.engine.logs.formats import parse_cri, parse_json, timestamp
from corten.engine.pools import Pool
from corten.engine.types import LogLine
from corten.launch import logwatch

SECOND = 1_000_000_000


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool("test-logs", 2)
    yield made
    made.close()


def line(text: str, number: int = 0, stream: str = "stdout") -> str:
    when = f"1970-01-01T00:00:{number:02}.000000001Z"
    return json.dumps({"log": text + "\n", "stream": stream, "time": when}) + "\n"


def texts(lines: list[LogLine]) -> list[str]:
    return [one.data.decode().strip() for one in lines]


async def read(
    pool: Pool, path: Path, query: Query | None = None, kind: str = "json-file"
) -> list[str]:
    source = read_log(pool, str(path), "json-file", query or Query(), None)
    return texts([one async for one in source])


# --- formats ----------------------------------------------------------------------------


def test_json_line() -> None:
    assert parse_json(b'{"log":"a\\n","stream":"stderr","time":"1970-01-01T00:00:01.5Z"}') == (
        LogLine(time=1_500_000_000, stream="stderr", data=b"a\n")
    )
    part = parse_json(b'{"log":"a","stream":"stdout","time":"1970-01-01T00:00:00Z"}')
    assert part is not None
    assert part.partial
    assert parse_json(b'{"log":"torn') is None


def test_cri_line() -> None:
    assert parse_cri(b"1970-01-01T00:00:01.000000002+00:00 stdout F a b \n") == LogLine(
        time=SECOND + 2, stream="stdout", data=b"a b \n"
    )
    assert parse_cri(b"1970-01-01T00:00:01Z stderr P a\n") == LogLine(
        time=SECOND, stream="stderr", data=b"a", partial=True
    )
    assert parse_cri(b"torn") is None


def test_timestamps_of_other_zones() -> None:
    assert timestamp("1970-01-01T02:00:00.123456789+02:00") == 123456789
    assert timestamp("1969-12-31T22:00:01-02:00") == SECOND


# --- reading ----------------------------------------------------------------------------


async def test_rotated_files_are_read_oldest_first(pool: Pool, tmp_path: Path) -> None:
    log = tmp_path / "log"
    (tmp_path / "log.2").write_text(line("a") + line("b"))
    (tmp_path / "log.1").write_text(line("c"))
    log.write_text(line("d"))
    assert await read(pool, log) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("tail", [0, 1, 2, 3, 4, 99])
async def test_tail_across_files(pool: Pool, tmp_path: Path, tail: int) -> None:
    log = tmp_path / "log"
    (tmp_path / "log.1").write_text(line("a") + line("b"))
    log.write_text(line("c") + line("d"))
    wanted = ["a", "b", "c", "d"][-tail:] if tail else []
    assert await read(pool, log, Query(tail=tail)) == wanted


async def test_tail_reads_from_the_end(pool: Pool, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.truncate(1 << 40)  # a terabyte of nothing: whoever reads it all does not return
        file.seek(1 << 40)
        file.write(b"\n" + (line("x" * 100_000) + line("last")).encode())
    found = await read(pool, log, Query(tail=2))
    assert [len(one) for one in found] == [100_000, 4]


async def test_times_and_streams(pool: Pool, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(line(str(n), n, ("stdout", "stderr")[n % 2]) for n in range(6)))
    assert await read(pool, log, Query(since=2 * SECOND, until=4 * SECOND + 1)) == ["2", "3", "4"]
    assert await read(pool, log, Query(stderr=False)) == ["0", "2", "4"]
    # As under Docker the tail is counted before the streams are looked at.
    assert await read(pool, log, Query(stdout=False, tail=2)) == ["5"]


async def test_a_torn_last_line_and_no_file_at_all(pool: Pool, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert await read(pool, log) == []
    log.write_text(line("whole") + '{"log":"to')
    assert await read(pool, log) == ["whole"]


# --- following --------------------------------------------------------------------------


class Follower:
    """Reads in the background, line by line."""

    def __init__(self, pool: Pool, log: Path, query: Query) -> None:
        self.ended = asyncio.Event()
        self.found: asyncio.Queue[str] = asyncio.Queue()
        self.task = asyncio.create_task(self._read(pool, log, query))

    async def _read(self, pool: Pool, log: Path, query: Query) -> None:
        async for one in read_log(pool, str(log), "json-file", query, self.ended):
            self.found.put_nowait(one.data.decode().strip())

    async def next(self) -> str:
        async with asyncio.timeout(10):
            return await self.found.get()


async def test_follow_across_rotations(pool: Pool, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(line("a") + line("b"))
    follower = Follower(pool, log, Query(follow=True, tail=1))
    assert await follower.next() == "b"
    with log.open("a") as file:
        file.write(line("c"))
        file.flush()
        assert await follower.next() == "c"
        file.write(line("d"))
    os.rename(log, tmp_path / "log.1")
    log.write_text(line("e"))
    assert [await follower.next(), await follower.next()] == ["d", "e"]
    # Two rotations between two looks.
    os.rename(tmp_path / "log.1", tmp_path / "log.2")
    os.rename(log, tmp_path / "log.1")
    log.write_text(line("f"))
    os.rename(tmp_path / "log.2", tmp_path / "log.3")
    os.rename(tmp_path / "log.1", tmp_path / "log.2")
    os.rename(log, tmp_path / "log.1")
    log.write_text(line("g"))
    assert [await follower.next(), await follower.next()] == ["f", "g"]
    with log.open("a") as file:
        file.write(line("last words"))
    follower.ended.set()
    async with asyncio.timeout(10):
        await follower.task
    assert await follower.next() == "last words"
    assert follower.found.empty()


async def test_follow_of_a_log_that_is_cut_to_nothing(pool: Pool, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(line("a") + line("a"))
    follower = Follower(pool, log, Query(follow=True))
    assert [await follower.next(), await follower.next()] == ["a", "a"]
    log.write_text(line("b"))
    assert await follower.next() == "b"
    follower.ended.set()
    async with asyncio.timeout(10):
        await follower.task


async def test_a_log_that_says_nothing_is_not_looked_at(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    real = Open.lines

    def counted(one: Open) -> list[bytes]:
        looks.append(1)
        return real(one)

    monkeypatch.setattr(Open, "lines", counted)
    log = tmp_path / "log"
    log.write_text(line("a"))
    follower = Follower(pool, log, Query(follow=True))
    assert await follower.next() == "a"
    await asyncio.sleep(0.5)  # the absence of looks has no event
    assert len(looks) <= 3
    with log.open("a") as file:
        file.write(line("b"))
    assert await follower.next() == "b"
    follower.ended.set()
    async with asyncio.timeout(10):
        await follower.task


async def test_without_inotify_it_is_looked_at(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def used_up(_path: str) -> int:
        raise OSError(24, "too many")

    monkeypatch.setattr(logwatch, "watch", used_up)
    log = tmp_path / "log"
    log.write_text(line("a"))
    follower = Follower(pool, log, Query(follow=True))
    assert await follower.next() == "a"
    with log.open("a") as file:
        file.write(line("b"))
    assert await follower.next() == "b"
    follower.ended.set()
    async with asyncio.timeout(10):
        await follower.task


async def test_a_follower_that_goes_leaves_no_descriptor(pool: Pool, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(line("a"))
    before = len(os.listdir("/proc/self/fd"))
    source = read_log(pool, str(log), "json-file", Query(follow=True), asyncio.Event())
    assert (await anext(source)).data == b"a\n"
    assert isinstance(source, AsyncGenerator)
    await source.aclose()
    async with asyncio.timeout(10):
        while len(os.listdir("/proc/self/fd")) > before:
            await asyncio.sleep(0.01)


def test_a_rotation_that_is_under_way_hides_no_file(tmp_path: Path) -> None:
    """The oldest is renamed first, so one number in the middle is free for a moment."""
    path = tmp_path / "log"
    for name, text in (("log", "4\n"), ("log.2", "3\n"), ("log.3", "2\n"), ("log.4", "1\n")):
        (tmp_path / name).write_text(text)
    files = open_all(str(path))
    assert [line for file in files for line in file.lines()] == [b"1\n", b"2\n", b"3\n", b"4\n"]
    for file in files:
        file.close()
