"""Processes of a container, as ps(1) of this machine shows them, or from /proc without one."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from corten.errors import InvalidArgument

_TITLES = ("UID", "PID", "PPID", "CMD")


def listing(pids: set[int], options: Sequence[str]) -> list[Sequence[str]]:
    """Titles and one row per process.

    Arguments:
        options: of ps, ``-ef`` if none are given; its output must have a column PID.
    """
    try:
        done = subprocess.run(
            ["ps", *(options or ("-ef",))], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        if options:
            raise InvalidArgument("there is no ps on this machine for these options") from None
        return [_TITLES, *[_row(pid) for pid in sorted(pids)]]
    if done.returncode and done.stderr:
        raise InvalidArgument(f"ps: {done.stderr.strip().splitlines()[0]}", step="top")
    return select(done.stdout, pids)


def select(output: str, pids: set[int]) -> list[Sequence[str]]:
    """The rows of ps's output for these processes. Raises InvalidArgument: no column PID."""
    titles, *lines = output.splitlines() or [""]
    columns = titles.split()
    if "PID" not in columns:
        raise InvalidArgument("Couldn't find PID field in ps output")
    place = columns.index("PID")
    rows = [line.split(None, len(columns) - 1) for line in lines]
    return [columns, *[row for row in rows if len(row) > place and int(row[place]) in pids]]


def _row(pid: int) -> tuple[str, ...]:
    proc = Path("/proc") / str(pid)
    try:
        parent = (proc / "stat").read_text().rsplit(")", 1)[1].split()[1]
        words = (proc / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
        return (str(proc.stat().st_uid), str(pid), parent, words.decode(errors="replace"))
    except OSError:  # it has just ended
        return ("?", str(pid), "?", "?")
