"""Which API version a path asks for."""

from __future__ import annotations

import pytest

from corten.dockerapi.versions import MAXIMUM, Version, split
from corten.errors import InvalidArgument


@pytest.mark.parametrize(
    ("path", "version", "rest"),
    [
        ("/v1.41/containers/json", (1, 41), "/containers/json"),
        ("/v1.24/_ping", (1, 24), "/_ping"),
        ("/v1.55/images/a/b/json", (1, 55), "/images/a/b/json"),
        ("/containers/json", MAXIMUM, "/containers/json"),
        ("/volumes", MAXIMUM, "/volumes"),
        ("/v1.41", MAXIMUM, "/v1.41"),
    ],
)
def test_split(path: str, version: tuple[int, int], rest: str) -> None:
    assert split(path) == (version, rest)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1.23/info", "client version 1.23 is too old. Minimum supported API version is 1.24"),
        ("/v1.56/info", "client version 1.56 is too new. Maximum supported API version is 1.55"),
        ("/v2.0/info", "too new"),
    ],
)
def test_out_of_range(path: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        split(path)


def test_versions_compare_as_numbers() -> None:
    assert Version(1, 9) < Version(1, 24)
