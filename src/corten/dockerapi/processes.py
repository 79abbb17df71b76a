"""The process table of ``docker top``, ``ps -ef``'s columns read from ``/proc``.

dockerd runs the host's ``ps``; a handful of small files says the same without a process.
"""

from __future__ import annotations

import asyncio
import functools
import os
import pwd
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from corten.errors import InvalidArgument

TITLES = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
_PTS_MAJOR_FIRST, _PTS_MAJOR_LAST = 136, 143  # Documentation/admin-guide/devices.txt


class Stat(NamedTuple):
    """What is used of ``/proc/PID/stat``; times in clock ticks."""

    name: str
    parent: int
    tty: int
    cpu: int
    started: int


def table(pids: Iterable[int]) -> list[list[str]]:
    """One row for each process that is still there.

    Arguments:
        pids: of this PID namespace.
    """
    rows = (_row(pid) for pid in pids)
    return [row for row in rows if row is not None]


async def by_ps(arguments: list[str], pids: Iterable[int]) -> tuple[list[str], list[list[str]]]:
    """Titles and rows as the host's ``ps`` prints them with options of the user's.

    Raises:
        InvalidArgument: it does not understand them, or they leave out the PID.
    """
    process = await asyncio.create_subprocess_exec(
        "ps", *arguments, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, error = await process.communicate()
    if process.returncode:
        raise InvalidArgument(f"Error running ps: {error.decode(errors='replace').strip()}")
    return chosen(out.decode(errors="replace"), set(pids))


def chosen(output: str, pids: set[int]) -> tuple[list[str], list[list[str]]]:
    """The rows of ``ps``'s output that are of these processes; the last column may hold blanks.

    Raises:
        InvalidArgument: there is no column PID.
    """
    lines = output.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise InvalidArgument("Couldn't find PID field in ps output")
    column = titles.index("PID")
    rows = [line.split(None, len(titles) - 1) for line in lines[1:]]
    return titles, [row for row in rows if len(row) > column and _number(row[column]) in pids]


def _number(text: str) -> int:
    return int(text) if text.isdigit() else -1


def parse_stat(text: str) -> Stat:
    """The fields of proc(5); the name in parentheses may contain anything."""
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    return Stat(
        name=name,
        parent=int(fields[1]),
        tty=int(fields[4]),
        cpu=int(fields[11]) + int(fields[12]),
        started=int(fields[19]),
    )


def terminal(device: int) -> str:
    """A terminal's name as ``ps`` shows it."""
    major, minor = os.major(device), os.minor(device)
    if _PTS_MAJOR_FIRST <= major <= _PTS_MAJOR_LAST:
        return f"pts/{(major - _PTS_MAJOR_FIRST) * 256 + minor}"
    return "?"


def cpu_time(seconds: int) -> str:
    """Hours, minutes and seconds of processor time."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _row(pid: int) -> list[str] | None:
    base = Path(f"/proc/{pid}")
    try:
        stat = parse_stat((base / "stat").read_text(errors="replace"))
        words = (base / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        owner = base.stat().st_uid
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - stat.started / ticks
    command = b" ".join(words).decode(errors="replace") or f"[{stat.name}]"
    busy = min(99, int(100 * stat.cpu / ticks / age)) if age > 0 else 0
    return [
        _user(owner),
        str(pid),
        str(stat.parent),
        str(busy),
        _start(time.time() - age, age),
        terminal(stat.tty),
        cpu_time(stat.cpu // ticks),
        command,
    ]


def _start(moment: float, age: float) -> str:
    return time.strftime("%H:%M" if age < 86400 else "%b%d", time.localtime(moment))


@functools.lru_cache(maxsize=256)
def _user(uid: int) -> str:
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
    return name if len(name) <= 8 else f"{name[:7]}+"
