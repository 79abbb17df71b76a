"""A pod's monitors share a scope; systemd makes it with the first of them."""

from __future__ import annotations

import pytest

from corten.errors import AlreadyExists, NotFound, Unavailable
from corten.launch import placement
from corten.launch.grouppaths import by_systemd

PATH = "kubepods-pod1.slice:corten-monitors:ab12"


class Group:
    """A scope that is there after so many looks."""

    def __init__(self, appears: int) -> None:
        self.looks = 0
        self.appears = appears

    def add_process(self, _pid: int) -> None:
        self.looks += 1
        if self.looks < self.appears:
            raise NotFound("no such group")


class Systemd:
    """Answers every wish for a scope alike."""

    def __init__(self, answer: Exception | None = None) -> None:
        self.answer = answer
        self.made: list[tuple[str, str]] = []

    def into_scope(self, name: str, slice_: str, _description: str) -> None:
        self.made.append((name, slice_))
        if self.answer is not None:
            raise self.answer


def join(monkeypatch: pytest.MonkeyPatch, group: Group, systemd: Systemd) -> None:
    monkeypatch.setattr(placement, "open_group", lambda _path: group)
    monkeypatch.setattr(placement, "_into_scope", systemd.into_scope)
    monkeypatch.setattr(placement, "_PAUSE", 1)
    placement.join(PATH)


def test_the_first_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    systemd = Systemd()
    join(monkeypatch, Group(100), systemd)
    assert systemd.made == [("corten-monitors-ab12.scope", "kubepods-pod1.slice")]


def test_the_next_join_it(monkeypatch: pytest.MonkeyPatch) -> None:
    systemd = Systemd()
    join(monkeypatch, Group(1), systemd)
    assert systemd.made == []


def test_two_that_come_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    group, systemd = Group(2), Systemd(AlreadyExists("the unit exists"))
    join(monkeypatch, group, systemd)
    assert (group.looks, len(systemd.made)) == (2, 1)


def test_one_that_never_comes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable):
        join(monkeypatch, Group(100), Systemd(AlreadyExists("the unit exists")))


@pytest.mark.parametrize(
    ("path", "expected"),
    [(PATH, True), ("system.slice::x", True), ("/corten/ab:c:d", False), ("corten/ab", False)],
)
def test_forms_of_a_path(path: str, expected: bool) -> None:
    assert by_systemd(path) is expected
