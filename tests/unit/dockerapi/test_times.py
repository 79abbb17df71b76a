"""Times and durations in docker's words."""

from __future__ import annotations

import pytest

from corten.dockerapi.times import ZERO, human, rfc3339, rfc3339_fixed

MOMENT = 1_700_000_000_000_000_000


def test_rfc3339() -> None:
    assert rfc3339(MOMENT) == "2023-11-14T22:13:20Z"
    assert rfc3339(MOMENT + 120_000_000) == "2023-11-14T22:13:20.12Z"
    assert rfc3339(MOMENT + 1) == "2023-11-14T22:13:20.000000001Z"
    assert rfc3339(0) == ZERO
    assert rfc3339_fixed(MOMENT) == "2023-11-14T22:13:20.000000000Z"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.5, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (120, "2 minutes"),
        (59 * 60, "59 minutes"),
        (3600, "About an hour"),
        (3600 * 1.5, "2 hours"),
        (3600 * 47, "47 hours"),
        (86400 * 2, "2 days"),
        (86400 * 14, "2 weeks"),
        (86400 * 60, "2 months"),
        (86400 * 800, "2 years"),
    ],
)
def test_human(seconds: float, words: str) -> None:
    assert human(seconds) == words
