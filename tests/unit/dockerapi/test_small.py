"""Events, errors, frames of a process table: the small translations."""

from __future__ import annotations

import os

import pytest

from corten.dockerapi import errors, events, processes, streaming
from corten.engine.types import Event
from corten.errors import (
    BY_CODE,
    CortenError,
    NotFound,
    NotModified,
    ProgramNotExecutable,
    ProgramNotFound,
)


def event(kind: str = "container", action: str = "start", **attributes: str) -> Event:
    return Event(
        seq=1,
        time=1_700_000_000_000_000_001,
        monotonic=1,
        boot_id="",
        tenant="docker",
        type=kind,
        action=action,
        id="ab" * 32,
        attributes={"name": "db", "image": "redis:7", **attributes},
    )


def test_event() -> None:
    shown = events.document(event(), old=True)
    assert shown is not None
    assert (shown["status"], shown["from"]) == ("start", "redis:7")
    assert (shown["time"], shown["timeNano"]) == (1_700_000_000, 1_700_000_000_000_000_001)
    new = events.document(event(), old=False)
    assert new is not None
    assert set(new) == {"Type", "Action", "Actor", "scope", "time", "timeNano"}


def test_event_without_a_docker_word() -> None:
    assert events.document(event(kind="pod"), old=False) is None


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ({}, True),
        ({"type": ["image", "container"]}, True),
        ({"type": ["image"]}, False),
        ({"event": ["start"]}, True),
        ({"event": ["exec_create"]}, False),
        ({"container": ["db"]}, True),
        ({"container": ["abab"]}, True),
        ({"container": ["other"]}, False),
        ({"image": ["redis"]}, True),
        ({"image": ["redis:7"]}, True),
        ({"image": ["redis:6"]}, False),
        ({"label": ["name=db"]}, True),
        ({"label": ["nosuch"]}, False),
        ({"scope": ["local"]}, True),
        ({"scope": ["swarm"]}, False),
        ({"network": ["db"]}, False),
        ({"volume": ["x"]}, False),
        ({"container": ["db"], "event": ["die"]}, False),
    ],
)
def test_filters_of_events(filters: dict[str, list[str]], passes: bool) -> None:
    shown = events.document(event(), old=False)
    assert shown is not None
    assert events.matches(shown, filters) is passes


def test_action_with_an_argument() -> None:
    shown = events.document(event(action="exec_create: sh"), old=False)
    assert shown is not None
    assert events.matches(shown, {"event": ["exec_create"]})


def test_every_error_has_a_status() -> None:
    assert set(errors.STATUS) == set(BY_CODE)
    assert errors.status(NotFound("x")) == 404
    assert errors.status(NotModified("x")) == 304


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NotFound("No such container: x"), "No such container: x"),
        (CortenError("broken", step="mount", hint="do this"), "mount: broken: do this"),
        (
            ProgramNotFound('exec: "x": no such file or directory'),
            'exec: "x": no such file or directory',
        ),
        (ProgramNotFound("x is missing"), "x is missing: executable file not found in $PATH"),
        (ProgramNotExecutable("x: exec format error"), "x: exec format error: permission denied"),
    ],
)
def test_messages_have_the_words_that_clients_look_for(error: CortenError, text: str) -> None:
    assert errors.message(error) == text


@pytest.mark.parametrize(
    ("text", "lines"), [("", None), ("all", None), ("0", 0), ("7", 7), ("-1", None), ("x", None)]
)
def test_tail(text: str, lines: int | None) -> None:
    assert streaming.tail(text) == lines


def test_stat_of_a_process_with_an_awkward_name() -> None:
    rest = "S 1 2 3 34817 5 6 7 8 9 10 11 12 13 14 15 16 17 18 999 20"
    stat = processes.parse_stat(f"42 (a) (b) {rest}")
    assert stat == processes.Stat(name="a) (b", parent=1, tty=34817, cpu=23, started=999)
    assert processes.terminal(stat.tty) == "pts/1"
    assert processes.terminal(0) == "?"


def test_cpu_time() -> None:
    assert processes.cpu_time(3723) == "01:02:03"


def test_table_of_this_process() -> None:
    rows = processes.table([os.getpid(), 1 << 22])
    assert [row[1] for row in rows] == [str(os.getpid())]
    assert len(rows[0]) == len(processes.TITLES)
    assert "python" in rows[0][-1]
