"""Work that several wait for."""

from __future__ import annotations

import asyncio

import pytest

from corten.images.shared import Locks, Shared, all_or_none
from corten.images.types import Progress, ProgressSink


def ignore(_: Progress) -> None: ...


async def test_one_task_for_all_and_progress_for_all() -> None:
    shared: Shared[int] = Shared()
    go = asyncio.Event()
    begun = 0

    async def work(report: ProgressSink) -> int:
        nonlocal begun
        begun += 1
        await go.wait()
        report(Progress(id="x", status="s"))
        return 7

    heard: list[list[Progress]] = [[], []]
    waiting = [asyncio.create_task(shared.join("k", work, heard[n].append)) for n in (0, 1)]
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*waiting) == [7, 7]
    assert begun == 1
    assert [len(h) for h in heard] == [1, 1]


async def test_only_the_last_waiter_ends_it() -> None:
    shared: Shared[None] = Shared()
    cleaned = False

    async def work(_: ProgressSink) -> None:
        nonlocal cleaned
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned = True

    first, last = (asyncio.create_task(shared.join("k", work, ignore)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    assert not cleaned
    last.cancel()
    await asyncio.wait([last])
    assert cleaned  # and not after the waiter is told


async def test_a_failure_reaches_all_and_is_forgotten() -> None:
    shared: Shared[int] = Shared()

    async def fail(_: ProgressSink) -> int:
        raise ValueError("x")

    async def work(_: ProgressSink) -> int:
        return 1

    with pytest.raises(ValueError, match="x"):
        await shared.join("k", fail, ignore)
    assert await shared.join("k", work, ignore) == 1


async def test_all_or_none_ends_the_others() -> None:
    ended = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        await all_or_none([slow(), fail()])
    assert ended.is_set()


async def test_locks_by_key() -> None:
    locks = Locks()
    order = []

    async def use(key: str, name: str) -> None:
        async with locks.hold(key):
            order.append(f"+{name}")
            await asyncio.sleep(0)
            order.append(f"-{name}")

    await asyncio.gather(use("a", "1"), use("a", "2"))
    assert order == ["+1", "-1", "+2", "-2"]
    assert not locks._locks
