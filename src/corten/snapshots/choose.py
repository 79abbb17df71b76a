"""Which snapshotter a daemon uses: what the store was begun with, else what works."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys

import corten
from corten.errors import InvalidArgument
from corten.snapshots.directories import DirectorySnapshotter
from corten.snapshots.native import NativeSnapshotter
from corten.snapshots.overlay import OverlaySnapshotter
from corten.snapshots.trash import Trash
from corten.store.database import Database

_KINDS: dict[str, type[DirectorySnapshotter]] = {
    OverlaySnapshotter.name: OverlaySnapshotter,
    NativeSnapshotter.name: NativeSnapshotter,
}
_BOOT = "import sys; sys.path[:0] = {path!r}; from corten.snapshots.probe import main; main()"


async def choose(root: str, db: Database, *, wanted: str = "") -> DirectorySnapshotter:
    """The snapshotter for the data root R; ``recover`` is still to be called.

    Arguments:
        root: R; snapshots lie in ``R/snapshots/NAME``.
        wanted: a name, if the administrator asks for one.
    Raises:
        InvalidArgument: there is none of that name.
    """
    name = wanted or db.read(_in_use) or await _what_works(root)
    kind = _KINDS.get(name)
    if kind is None:
        raise InvalidArgument(
            f"there is no snapshotter {name!r}", hint=f"one of: {', '.join(_KINDS)}"
        )
    return kind(f"{root}/snapshots/{name}", db)


def _in_use(conn: sqlite3.Connection) -> str:
    """Containers stand on what they were made with."""
    for table in ("snapshots", "layers"):
        row = conn.execute(f"SELECT snapshotter FROM {table} LIMIT 1").fetchone()  # noqa: S608
        if row is not None:
            return str(row[0])
    return ""


async def _what_works(root: str) -> str:
    works, _ = await probe_overlay(f"{root}/snapshots")
    return OverlaySnapshotter.name if works else NativeSnapshotter.name


async def probe_overlay(directory: str) -> tuple[bool, str]:
    """Whether overlayfs works below ``directory``, and if not, why."""
    base = f"{directory}/probe-{os.getpid()}"
    await asyncio.to_thread(os.makedirs, base, 0o700)
    package = os.path.dirname(os.path.dirname(os.path.abspath(corten.__file__)))
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-IS",
            "-c",
            _BOOT.format(path=[package]),
            base,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        said, _ = await process.communicate()
    finally:
        await asyncio.to_thread(_remove, directory, base)
    return process.returncode == 0, said.decode("utf-8", "replace")


def _remove(directory: str, base: str) -> None:
    trash = Trash(f"{directory}/probe-trash")
    trash.take(base)
    trash.empty()
    os.rmdir(trash.path)
