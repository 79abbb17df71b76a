"""The database: what is committed, in which order, and what a failure leaves behind."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from corten.errors import AlreadyExists, DataLoss, FailedPrecondition, ResourceExhausted
from corten.store import Database, RootLock
from corten.store.migrate import Migration

SCHEMA = [
    Migration(1, "things", "CREATE TABLE things (name TEXT PRIMARY KEY, n INTEGER) STRICT;"),
    Migration(
        2,
        "parts",
        "CREATE TABLE parts (thing TEXT NOT NULL REFERENCES things (name)) STRICT;\n"
        "CREATE INDEX parts_by_thing ON parts (thing);",
    ),
]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(str(tmp_path / "t.db"), migrations=SCHEMA)
    yield database
    database.close()


def add(name: str, n: int = 0) -> Callable[[sqlite3.Connection], Any]:
    return lambda c: c.execute("INSERT INTO things VALUES (?, ?)", (name, n)).lastrowid


def names(db: Database) -> list[str]:
    return db.read(lambda c: [r[0] for r in c.execute("SELECT name FROM things ORDER BY rowid")])


async def test_write_is_visible_to_readers_when_it_returns(db: Database) -> None:
    await db.write(add("a"))
    assert names(db) == ["a"]
    assert await db.query(lambda c: c.execute("SELECT count(*) FROM things").fetchone()) == (1,)


async def test_one_failure_in_a_shared_commit_undoes_only_itself(db: Database) -> None:
    def fails(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO things VALUES ('half', 0)")
        raise ValueError("no")

    results = await asyncio.gather(
        db.write(add("a")), db.write(fails), db.write(add("b")), return_exceptions=True
    )
    assert isinstance(results[1], ValueError)
    assert names(db) == ["a", "b"]


async def test_unique_and_foreign_keys_have_errors_of_ours(db: Database) -> None:
    await db.write(add("a"))
    with pytest.raises(AlreadyExists):
        await db.write(add("a"))
    with pytest.raises(FailedPrecondition):
        await db.write(lambda c: c.execute("INSERT INTO parts VALUES ('none')"))


async def test_commit_hooks_run_in_order_even_for_cancelled_callers(db: Database) -> None:
    seen: list[str] = []

    def note(name: str) -> Callable[[Any], None]:
        return lambda _: seen.append(name)

    tasks = [asyncio.create_task(db.write(add(n), on_commit=note(n))) for n in "abcde"]
    await asyncio.sleep(0)  # each has queued its transaction
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await db.write(lambda c: None)
    assert tasks[1].cancelled()
    assert seen == list("abcde") == names(db)


async def test_full_disk_fails_the_write_and_a_later_one_works(db: Database) -> None:
    pages = db.write_blocking(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    db._writer.execute(f"PRAGMA max_page_count={pages + 1}")  # SQLite's own full disk
    with pytest.raises(ResourceExhausted, match="disk is full"):
        await db.write(add("x" * 100_000))
    db._writer.execute("PRAGMA max_page_count=1000000")
    await db.write(add("small"))
    assert names(db) == ["small"]


def test_a_newer_root_is_refused_by_name(tmp_path: Path) -> None:
    path = str(tmp_path / "t.db")
    Database(path, migrations=[*SCHEMA, Migration(7, "future", "CREATE TABLE f (x) ;")]).close()
    with pytest.raises(FailedPrecondition, match=r"0007 future"):
        Database(path, migrations=SCHEMA)


def test_an_older_root_is_migrated(tmp_path: Path) -> None:
    path = str(tmp_path / "t.db")
    old = Database(path, migrations=SCHEMA[:1])
    old.write_blocking(add("kept"))
    old.close()
    new = Database(path, migrations=SCHEMA)
    new.write_blocking(lambda c: c.execute("INSERT INTO parts VALUES ('kept')"))
    assert names(new) == ["kept"]
    new.close()


def test_damage_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    database = Database(str(path), migrations=SCHEMA)
    for i in range(200):
        database.write_blocking(add(f"{i:0100}"), durable=False)
    database.close()
    content = bytearray(path.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    path.write_bytes(bytes(content))
    with pytest.raises(DataLoss):
        Database(str(path), migrations=SCHEMA)


def test_the_file_is_private(db: Database) -> None:
    assert Path(db.path).stat().st_mode & 0o777 == 0o600


def test_the_shipped_schema_applies(tmp_path: Path) -> None:
    path = str(tmp_path / "t.db")
    Database(path).close()
    Database(path).close()


def test_one_daemon_per_root(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    first = RootLock(path)
    with pytest.raises(FailedPrecondition, match="another daemon"):
        RootLock(path)
    first.release()
    RootLock(path).release()
