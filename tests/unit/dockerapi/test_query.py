"""Query parameters as dockerd reads them."""

from __future__ import annotations

import pytest

from corten.dockerapi import query
from corten.errors import InvalidArgument


@pytest.mark.parametrize("text", ["1", "true", "True", "yes", "anything"])
def test_true(text: str) -> None:
    assert query.flag({"f": text}, "f")


@pytest.mark.parametrize("text", ["", "0", "false", "False", "no", "none"])
def test_false(text: str) -> None:
    assert not query.flag({"f": text}, "f", default=True)


def test_flag_not_given() -> None:
    assert query.flag({}, "f", default=True)
    assert not query.flag({}, "f")


def test_integers() -> None:
    assert query.integer({"n": "-1"}, "n") == -1
    assert query.integer({"n": ""}, "n", 7) == 7
    for text in ("x", "1.5", str(1 << 63)):
        with pytest.raises(InvalidArgument, match="invalid n"):
            query.integer({"n": text}, "n")


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("", 0),
        ("1700000000", 1_700_000_000_000_000_000),
        ("1700000000.5", 1_700_000_000_500_000_000),
        ("1700000000.000000001", 1_700_000_000_000_000_001),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000_000),
        ("2023-11-14T22:13:20.000000007Z", 1_700_000_000_000_000_007),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000_000_000_000),
    ],
)
def test_times(text: str, nanoseconds: int) -> None:
    assert query.timestamp({"since": text}, "since") == nanoseconds


def test_no_time() -> None:
    with pytest.raises(InvalidArgument, match="since"):
        query.timestamp({"since": "yesterday"}, "since")


def test_filters_in_both_forms() -> None:
    allowed = ("label", "name")
    assert query.filters('{"label":["a","b=c"]}', allowed) == {"label": ["a", "b=c"]}
    assert query.filters('{"name":{"x":true,"y":false}}', allowed) == {"name": ["x"]}
    assert query.filters('{"name":[]}', allowed) == {}
    assert query.filters("", allowed) == {}


@pytest.mark.parametrize("text", ['{"other":["x"]}', "{", "[]", '{"label":"a"}'])
def test_bad_filters(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid filter"):
        query.filters(text, ("label",))


def test_labels() -> None:
    labels = {"a": "1", "b": ""}
    assert query.match_labels(["a", "b="], labels)
    assert query.match_labels(["a=1"], labels)
    assert not query.match_labels(["a=2"], labels)
    assert not query.match_labels(["a", "c"], labels)
