"""Log records: the fast path gives what a JSON library gives, line by line."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.launch.lines import LIMIT, Cri, JsonFile, Splitter, timestamp

STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$")


def texts(records: bytes) -> list[str]:
    """The ``log`` texts of json-file records, each checked for its shape."""
    found = []
    for line in records.splitlines():
        record = json.loads(line)
        assert sorted(record) == ["log", "stream", "time"]
        assert record["stream"] == "stdout" and STAMP.match(record["time"])
        found.append(record["log"])
    return found


def test_timestamp_is_rfc3339_with_nanoseconds() -> None:
    assert timestamp(0) == b"1970-01-01T00:00:00.000000000Z"
    assert timestamp(1_700_000_000_000_000_001) == b"2023-11-14T22:13:20.000000001Z"


def test_clean_chunk_becomes_one_record_a_line() -> None:
    out = Splitter(JsonFile("stdout")).feed(b"one\ntwo\n\nthree\n")
    assert texts(out) == ["one\n", "two\n", "\n", "three\n"]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'say "hi"', 'say "hi"'),
        (b"back\\slash", "back\\slash"),
        (b"tab\tbell\x07", "tab\tbell\x07"),
        ("gr\u00fc\u00df \u2028 \U0001f600".encode(), "gr\u00fc\u00df \u2028 \U0001f600"),
        (b"bad \xff utf8", "bad \ufffd utf8"),
        (b"carriage\r", "carriage\r"),
    ],
)
def test_whatever_needs_escaping_is_escaped(line: bytes, text: str) -> None:
    out = Splitter(JsonFile("stdout")).feed(b"plain\n" + line + b"\n")
    assert texts(out) == ["plain\n", text + "\n"]


def test_attrs_are_part_of_every_record() -> None:
    out = Splitter(JsonFile("stderr", '{"tag":"x"}')).feed(b'a\n"\n')
    assert [json.loads(line)["attrs"] for line in out.splitlines()] == [{"tag": "x"}] * 2


def test_line_without_newline_waits_and_is_finished() -> None:
    splitter = Splitter(JsonFile("stdout"))
    assert splitter.feed(b"pro") == b""
    assert texts(splitter.feed(b"mpt\nrest")) == ["prompt\n"]
    assert texts(splitter.finish()) == ["rest"]
    assert splitter.finish() == b""


def test_long_line_is_split_without_newlines() -> None:
    splitter = Splitter(JsonFile("stdout"))
    long = b"x" * (2 * LIMIT + 10)
    pieces = texts(splitter.feed(long + b"\nshort\n") + splitter.finish())
    assert [len(piece) for piece in pieces] == [LIMIT, LIMIT, 11, 6]
    assert "".join(pieces) == long.decode() + "\nshort\n"


def test_no_character_is_torn_by_the_split() -> None:
    text = "a" + "\u20ac" * LIMIT  # three bytes each, from an odd offset
    splitter = Splitter(JsonFile("stdout"))
    pieces = texts(splitter.feed(text.encode()) + splitter.finish())
    assert "".join(pieces) == text


def test_cri_lines_and_pieces() -> None:
    splitter = Splitter(Cri("stderr"))
    out = splitter.feed(b"one\n\n" + b"y" * (LIMIT + 1)) + splitter.finish()
    rows = [line.split(b" ", 3) for line in out.splitlines()]
    assert [(row[1], row[2], len(row[3])) for row in rows] == [
        (b"stderr", b"F", 3),
        (b"stderr", b"F", 0),
        (b"stderr", b"P", LIMIT),
        (b"stderr", b"F", 1),
    ]
    assert all(STAMP.match(row[0].decode()) for row in rows)


@given(st.lists(st.binary(max_size=40000), max_size=6))
def test_nothing_is_lost_however_it_is_cut(chunks: list[bytes]) -> None:
    splitter = Splitter(Cri("stdout"))
    out = b"".join([splitter.feed(chunk) for chunk in chunks]) + splitter.finish()
    whole = b""
    for line in out.split(b"\n")[:-1]:
        _, _, tag, text = line.split(b" ", 3)
        assert len(text) <= LIMIT
        whole += text + (b"\n" if tag == b"F" else b"")
    sent = b"".join(chunks)
    # the end of a last line without a newline is tagged as full
    assert whole == sent or whole == sent + b"\n"


@given(st.lists(st.text(max_size=300), max_size=6))
def test_json_text_is_what_was_written(lines: list[str]) -> None:
    data = "".join([line.replace("\n", "") + "\n" for line in lines]).encode("utf-8", "replace")
    splitter = Splitter(JsonFile("stdout"))
    assert "".join(texts(splitter.feed(data))) == data.decode()
