"""One table: what SQLite says, in the words of :mod:`corten.errors`."""

from __future__ import annotations

import sqlite3

from corten.errors import (
    AlreadyExists,
    CortenError,
    DataLoss,
    FailedPrecondition,
    Internal,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)

_PRIMARY_CODE = 0xFF  # the low byte of an extended result code (sqlite.org/rescode.html)

_TABLE: dict[int, tuple[type[CortenError], str, str]] = {
    sqlite3.SQLITE_BUSY: (Unavailable, "the database is in use by another program", ""),
    sqlite3.SQLITE_LOCKED: (Unavailable, "the database is locked", ""),
    sqlite3.SQLITE_FULL: (
        ResourceExhausted,
        "the disk is full",
        "free space on the file system of the data root, then try again",
    ),
    sqlite3.SQLITE_NOMEM: (ResourceExhausted, "out of memory", ""),
    sqlite3.SQLITE_IOERR: (
        Unavailable,
        "reading or writing the database failed",
        "see the kernel's log for errors of the disk",
    ),
    sqlite3.SQLITE_CANTOPEN: (Unavailable, "the database can't be opened", ""),
    sqlite3.SQLITE_READONLY: (PermissionDenied, "the database can't be written", ""),
    sqlite3.SQLITE_PERM: (PermissionDenied, "no permission for the database", ""),
    sqlite3.SQLITE_CORRUPT: (
        DataLoss,
        "the database is damaged",
        "restore the data root from a backup",
    ),
    sqlite3.SQLITE_NOTADB: (DataLoss, "the file is no database", ""),
}


def translate(error: sqlite3.Error, *, path: str, step: str = "database") -> CortenError:
    """The error of ours for one of SQLite's.

    Arguments:
        error: what ``sqlite3`` raised.
        path: the database's file, for the message.
        step: what was being done.
    """
    extended = getattr(error, "sqlite_errorcode", 0) or 0
    if extended in (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY):
        return AlreadyExists(str(error), step=step)
    if extended == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return FailedPrecondition("the object is still in use", step=step)
    found = _TABLE.get(extended & _PRIMARY_CODE)
    if found is None:
        return Internal(f"unexpected answer of the database: {error}", step=step, path=path)
    cls, message, hint = found
    return cls(message, step=step, path=path, hint=hint)
