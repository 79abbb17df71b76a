"""Detach keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.dockerapi.detach import Scanner, parse
from corten.errors import InvalidArgument

KEYS = parse("")


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", b"\x10\x11"),
        ("ctrl-a", b"\x01"),
        ("ctrl-A,b", b"\x01b"),
        ("ctrl-@,ctrl-[,ctrl-_", b"\x00\x1b\x1f"),
        ("a,b,c", b"abc"),
    ],
)
def test_parse(text: str, keys: bytes) -> None:
    assert parse(text) == keys


@pytest.mark.parametrize("text", ["nosuch", "ctrl-", "ctrl-ab", "ctrl-1", "ä", "a,,b"])
def test_no_key(text: str) -> None:
    with pytest.raises(InvalidArgument, match="Unknown character"):
        parse(text)


def feed(pieces: list[bytes], keys: bytes = KEYS) -> tuple[bytes, bool]:
    scanner = Scanner(keys)
    passed = b""
    for piece in pieces:
        out, complete = scanner.feed(piece)
        passed += out
        if complete:
            return passed, True
    return passed + scanner.flush(), False


@given(st.binary(), st.binary(), st.integers(0, 2))
def test_sequence_is_found_across_pieces_and_not_passed_on(
    before: bytes, after: bytes, cut: int
) -> None:
    before = before.replace(b"\x10", b"")
    pieces = [before + KEYS[:cut], KEYS[cut:] + after]
    assert feed(pieces) == (before, True)


@given(st.lists(st.binary(max_size=8)))
def test_everything_else_is_passed_on_unchanged(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    if KEYS not in data:
        assert feed(pieces) == (data, False)


def test_first_key_waits_for_the_second() -> None:
    scanner = Scanner(KEYS)
    assert scanner.feed(b"a\x10") == (b"a", False)
    assert scanner.feed(b"b") == (b"\x10b", False)
    assert scanner.feed(b"\x10") == (b"", False)
    assert scanner.flush() == b"\x10"


def test_first_key_twice() -> None:
    assert feed([b"\x10\x10\x11"]) == (b"\x10", True)


def test_no_keys() -> None:
    assert feed([b"\x10\x11"], b"") == (b"\x10\x11", False)
