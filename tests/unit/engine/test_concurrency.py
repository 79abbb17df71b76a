"""Locks, operations, pools: what may wait for what, and what a cancellation does."""

from __future__ import annotations

import asyncio
import threading

import pytest

from corten.engine import operations as operations_module
from corten.engine.locks import Locks
from corten.engine.operations import Operations, both
from corten.engine.pools import Pool
from corten.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted


async def test_locks_are_taken_in_one_order() -> None:
    locks, order = Locks(), []

    async def worker(*objects: tuple[str, str]) -> None:
        async with locks.hold(*objects):
            order.append(objects)
            await asyncio.sleep(0)

    async with asyncio.timeout(5):  # a ring would hang
        await asyncio.gather(
            *[worker(("pod", "p"), ("container", "c")) for _ in range(3)],
            *[worker(("container", "c"), ("pod", "p")) for _ in range(3)],
        )
    assert len(order) == 6
    assert not locks._locks  # nothing is kept for objects that nobody uses


async def test_a_cancelled_waiter_leaves_the_lock_usable() -> None:
    locks = Locks()
    async with locks.hold(("container", "c")):
        waiter = asyncio.create_task(_hold(locks))
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        assert locks.held("container", "c")
    async with asyncio.timeout(5), locks.hold(("container", "c")):
        pass


async def _hold(locks: Locks) -> None:
    async with locks.hold(("container", "c")):
        pass


async def test_an_operation_outlives_its_callers_and_is_joined() -> None:
    operations, go, runs = Operations(), asyncio.Event(), []

    async def work() -> str:
        runs.append(1)
        await go.wait()
        return "done"

    first = asyncio.create_task(operations.run(("start", "c"), work))
    second = asyncio.create_task(operations.run(("start", "c"), work))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert operations.running() == [("start", "c")]
    go.set()
    assert await second == "done"
    assert runs == [1]
    await asyncio.sleep(0)
    assert operations.running() == []
    go.set()
    assert await operations.run(("start", "c"), work) == "done"
    assert runs == [1, 1]


async def test_joiners_get_the_same_error() -> None:
    operations = Operations()

    async def work() -> None:
        raise InvalidArgument("no")

    results = await asyncio.gather(
        operations.run(("x",), work), operations.run(("x",), work), return_exceptions=True
    )
    assert [type(one) for one in results] == [InvalidArgument, InvalidArgument]


async def test_both_waits_for_both_even_if_one_fails() -> None:
    seen = []

    async def fails() -> None:
        raise InvalidArgument("no")

    async def slow() -> None:
        await asyncio.sleep(0.01)
        seen.append("end")

    with pytest.raises(InvalidArgument):
        await both(fails(), slow())
    assert seen == ["end"]


async def test_insist_goes_on_while_the_disk_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations_module, "_RETRY_FIRST", 0.001)
    tries = []

    async def step() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise ResourceExhausted("the disk is full")

    await Operations().insist(step, "test")
    assert len(tries) == 3

    async def refused() -> None:
        tries.append(1)
        raise InvalidArgument("no")

    await Operations().insist(refused, "test")
    assert len(tries) == 4


async def test_whoever_needs_what_is_insisted_on_has_it_tried_at_once() -> None:
    operations, full, tries = Operations(), [True], []

    async def step() -> None:
        tries.append(1)
        if full[0]:
            raise ResourceExhausted("the disk is full")

    task = operations.background(operations.insist(step, "test"), "test")
    while not tries:
        await asyncio.sleep(0)
    full.clear()
    full.append(False)
    assert await operations.hurry()
    assert len(tries) == 2
    await task
    assert not await operations.hurry()


async def test_a_stop_waits_for_operations_but_not_for_watches() -> None:
    operations, done = Operations(), []

    async def work() -> None:
        await asyncio.sleep(0.01)
        done.append("work")

    operations.background(work(), "work")
    operations.watch(asyncio.Event().wait(), "watch")
    async with asyncio.timeout(5):
        await operations.settle(60)
    assert done == ["work"]


async def test_a_call_that_hangs_has_a_deadline_and_a_full_pool_says_so() -> None:
    pool, release = Pool("hang", 1, waiting=2), threading.Event()
    with pytest.raises(DeadlineExceeded):
        await pool.run(release.wait, 30, deadline=0.05)
    waiting = [asyncio.create_task(pool.run(int, "1", deadline=10)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted, match="hang"):
        await pool.run(int, "1", deadline=10)
    release.set()
    assert await asyncio.gather(*waiting) == [1, 1]
    with pytest.raises(ValueError, match="invalid literal"):
        await pool.run(int, "x", deadline=10)
    pool.close()


async def test_a_pool_runs_as_many_at_once_as_it_may() -> None:
    pool, barrier = Pool("wide", 3), threading.Barrier(3)
    async with asyncio.timeout(10):
        await asyncio.gather(*[pool.run(barrier.wait, 5, deadline=8) for _ in range(3)])
    pool.close()
