"""The one door for change, the view behind it, events and waiters."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from corten.engine import boot, states, tables
from corten.engine.door import Door, Tx
from corten.engine.events import EventLog
from corten.engine.runs import Outcome, record_exit, record_oom
from corten.engine.types import Container, ContainerConfig, Event, Exec, ExecConfig
from corten.engine.view import View
from corten.engine.waiters import Waiters
from corten.errors import AlreadyExists, InvalidArgument, NotFound
from corten.store import Database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(str(tmp_path / "corten.db"))
    yield database
    database.close()


class World:
    def __init__(self, db: Database) -> None:
        self.view = View()
        self.door = Door(db, self.view, boot_id="boot", keep_events=1000)
        self.events = EventLog(db, self.door)
        self.waiters = Waiters(self.view)
        self.door.listen(self.waiters.published)

    async def add(self, container_id: str, name: str = "", tenant: str = "docker") -> Container:
        record = Container(
            id=container_id,
            tenant=tenant,  # type: ignore[arg-type] # one of the two in every test
            name=name or container_id,
            config=ContainerConfig(image="i", labels={"l": "1"}),
            image_ref="i",
            image_id="sha256:i",
            created_at=1,
        )

        def step(tx: Tx) -> Container:
            tx.put_container(record)
            tx.container_event(record, "create")
            return record

        return await self.door.commit(step)

    async def run(self, container_id: str) -> None:
        def step(tx: Tx) -> None:
            now = tx.container(container_id)
            tx.put_container(states.started(now, pid=7, started_at=5, boot_id="boot"))
            tx.container_event(now, "start")

        await self.door.commit(step)

    async def die(self, container_id: str, code: int) -> None:
        outcome = Outcome(code=code, finished_at=9)
        await self.door.commit(lambda tx: record_exit(tx, container_id, outcome))

    async def drop(self, container_id: str) -> None:
        def step(tx: Tx) -> None:
            record = tx.container(container_id)
            tx.drop_container(container_id)
            tx.container_event(record, "destroy")

        await self.door.commit(step)


@pytest.fixture
async def world(db: Database) -> World:
    return World(db)


# --- records ----------------------------------------------------------------------------


async def test_the_view_shows_what_is_committed(world: World) -> None:
    await world.add("aa11", "web")
    assert world.view.container("docker", "web").id == "aa11"
    assert world.view.container("docker", "/web").id == "aa11"
    assert world.view.container("docker", "aa").id == "aa11"
    with pytest.raises(NotFound):
        world.view.container("k8s", "web")
    await world.add("aa22")
    with pytest.raises(InvalidArgument, match="multiple"):
        world.view.container("docker", "aa")
    await world.drop("aa11")
    with pytest.raises(NotFound, match="No such container: web"):
        world.view.container("docker", "web")


async def test_names_belong_to_tenants(world: World) -> None:
    await world.add("a", "web")
    await world.add("b", "web", tenant="k8s")
    with pytest.raises(AlreadyExists):
        await world.add("c", "web")
    assert "c" not in world.view.containers


async def test_a_failed_step_changes_nothing(world: World, db: Database) -> None:
    await world.add("a")
    before = db.read(tables.last_seq)

    def step(tx: Tx) -> None:
        tx.drop_container("a")
        tx.event("container", "destroy", "a", "docker")
        raise InvalidArgument("no")

    with pytest.raises(InvalidArgument):
        await world.door.commit(step)
    assert "a" in world.view.containers
    assert db.read(tables.last_seq) == before


async def test_an_unready_record_is_seen_by_nobody_but_holds_its_name(world: World) -> None:
    made = await world.add("a", "web")
    await world.drop("a")
    await world.door.commit(lambda tx: tx.put_container(made, ready=False))
    assert not world.view.containers
    with pytest.raises(AlreadyExists):
        await world.add("b", "web")


async def test_an_exit_is_recorded_once(world: World) -> None:
    await world.add("a")
    await world.run("a")
    await world.die("a", 3)
    await world.die("a", 4)
    assert world.view.containers["a"].state.exit_code == 3
    await world.door.commit(lambda tx: record_oom(tx, "a"))
    assert not world.view.containers["a"].state.oom_killed


async def test_execs_end_with_their_container(world: World) -> None:
    await world.add("a")
    await world.run("a")
    running = Exec(id="e", container_id="a", config=ExecConfig(args=("x",)), running=True)
    done = msgspec.structs.replace(running, id="f", running=False, exit_code=0)
    await world.door.commit(lambda tx: [tx.put_exec(running), tx.put_exec(done)])
    await world.die("a", 137)
    assert [e.exit_code for e in world.view.execs_of("a")] == [137, 0]
    await world.drop("a")
    with pytest.raises(NotFound):
        world.view.exec("docker", "e")


async def test_a_restarted_daemon_sees_the_same(world: World, db: Database) -> None:
    await world.add("a", "web")
    await world.run("a")
    again = View()
    again.load([r for r, _ in db.read(lambda c: list(tables.all_containers(c)))], [], [])
    assert again.containers == world.view.containers
    assert again.named("docker", "web") == world.view.named("docker", "web")


# --- events -----------------------------------------------------------------------------


async def collect(world: World, count: int, **limits: int | None) -> list[Event]:
    arguments: dict[str, int | None] = {"since": None, "until": None, "from_seq": None, **limits}
    found: list[Event] = []
    async with asyncio.timeout(10):
        async for event in world.events.follow("docker", **arguments):
            found.append(event)
            if len(found) == count:
                break
    return found


async def test_history_and_what_follows_without_gap_or_double(world: World) -> None:
    await world.add("a")
    reader = asyncio.create_task(collect(world, 20, since=0))
    for number in range(10):
        await world.add(f"b{number}")
        await world.add(f"k{number}", tenant="k8s")
        await asyncio.sleep(0)
    for number in range(9):
        await world.drop(f"b{number}")
    found = await reader
    assert [e.seq for e in found] == sorted({e.seq for e in found})
    assert [e.action for e in found] == ["create"] * 11 + ["destroy"] * 9


async def test_a_reader_resumes_where_it_was(world: World) -> None:
    for name in "abc":
        await world.add(name)
    everything = await collect(world, 3, since=0)
    assert await collect(world, 2, from_seq=everything[1].seq) == everything[1:]


async def test_until_ends_the_reading(world: World) -> None:
    await world.add("a")
    now = boot.wall_ns()
    await world.add("b")
    assert [e.id for e in await collect(world, 99, since=0, until=now)] == ["a"]


async def test_without_since_only_what_is_new(world: World) -> None:
    await world.add("old")
    reader = asyncio.create_task(collect(world, 1))
    number = 0
    while not reader.done():  # those that come before its subscription are no new ones either
        number += 1
        await world.add(f"new{number}")
    assert [e.id[:3] for e in await reader] == ["new"]


async def test_events_have_dockers_attributes(world: World) -> None:
    await world.add("a", "web")
    await world.run("a")
    await world.die("a", 3)
    die = (await collect(world, 3, since=0))[-1]
    assert die.attributes == {
        "image": "i",
        "name": "web",
        "l": "1",
        "exitCode": "3",
        "execDuration": "0",
    }


async def test_history_has_a_bound(db: Database) -> None:
    world = World(db)
    door = Door(db, world.view, boot_id="boot", keep_events=10)

    def step(tx: Tx) -> None:
        for _ in range(600):
            tx.event("daemon", "x", "", "docker")

    await door.commit(step)
    left = db.read(lambda c: c.execute("SELECT count(*) FROM events").fetchone()[0])
    assert left <= 600 - 512 + 10


# --- waiting ----------------------------------------------------------------------------


async def test_wait_conditions(world: World) -> None:
    created = await world.add("a")
    now = await world.waiters.subscribe(created, "not-running")()
    assert now.code == 0
    await world.run("a")
    running = world.view.containers["a"]
    waits = {
        name: world.waiters.subscribe(running, name)
        for name in ("not-running", "next-exit", "removed")
    }
    await world.die("a", 3)
    assert (await waits["not-running"]()).code == 3
    assert (await waits["next-exit"]()).code == 3
    removed = asyncio.ensure_future(waits["removed"]())
    await asyncio.sleep(0)
    assert not removed.done()
    await world.drop("a")
    assert (await removed).code == 3


async def test_a_removal_answers_every_wait(world: World) -> None:
    created = await world.add("a")
    wait = world.waiters.subscribe(created, "next-exit")
    await world.drop("a")
    async with asyncio.timeout(5):
        await wait()
