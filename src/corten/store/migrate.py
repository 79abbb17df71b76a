"""Numbered migrations, and the refusal of a root that a newer Corten wrote."""

from __future__ import annotations

import sqlite3
import time
from importlib import resources
from typing import NamedTuple

import corten
from corten.errors import FailedPrecondition, Internal

_BOOK = """
CREATE TABLE IF NOT EXISTS migrations (
    number     INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at INTEGER NOT NULL,
    by_version TEXT NOT NULL
) STRICT
"""


class Migration(NamedTuple):
    """One step of the schema: ``NNNN_name.sql``."""

    number: int
    name: str
    sql: str


def shipped() -> list[Migration]:
    """The migrations of this version, in order."""
    found = []
    for entry in resources.files("corten.store").joinpath("migrations").iterdir():
        number, underscore, name = entry.name.removesuffix(".sql").partition("_")
        if entry.name.endswith(".sql") and underscore and number.isdigit():
            found.append(Migration(int(number), name, entry.read_text("utf-8")))
    return sorted(found)


def migrate(connection: sqlite3.Connection, migrations: list[Migration], *, path: str) -> None:
    """Bring a database to this version's schema, each step in a transaction of its own.

    Raises:
        FailedPrecondition: a newer version wrote the database (it names that version).
        Internal: a migration is wrong.
    """
    connection.execute(_BOOK)
    applied = _applied(connection)
    known = {m.number for m in migrations}
    for number, (name, by_version) in sorted(applied.items()):
        if number not in known:
            raise FailedPrecondition(
                f"the data root was written by Corten {by_version}"
                f" (migration {number:04} {name}), this is {corten.__version__}",
                step="open database",
                path=path,
                hint=f"use Corten {by_version} or newer with this root",
            )
    for migration in migrations:
        if migration.number not in applied:
            _apply(connection, migration, path)


def _applied(connection: sqlite3.Connection) -> dict[int, tuple[str, str]]:
    rows = connection.execute("SELECT number, name, by_version FROM migrations")
    return {number: (name, by_version) for number, name, by_version in rows}


def _apply(connection: sqlite3.Connection, migration: Migration, path: str) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        for statement in _statements(migration.sql):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO migrations VALUES (?, ?, ?, ?)",
            (migration.number, migration.name, time.time_ns(), corten.__version__),
        )
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:
            label = f"migration {migration.number:04} {migration.name}"
            raise Internal(str(error), step=label, path=path) from error
        raise


def _statements(script: str) -> list[str]:
    """Split a script; ``executescript`` would commit the transaction that is open."""
    found, part = [], ""
    for line in script.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            found.append(part)
            part = ""
    return found
