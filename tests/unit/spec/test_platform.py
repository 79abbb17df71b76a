"""Platforms: normal forms, and which of several offers is taken."""

from __future__ import annotations

import pytest

from corten.errors import InvalidArgument
from corten.spec import platform
from corten.spec.platform import Platform


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("Linux/ARM64", "linux/arm64"),
        ("macos/arm64", "darwin/arm64"),
        ("arm64", "linux/arm64"),
    ],
)
def test_normal_forms(text: str, normal: str) -> None:
    assert str(platform.parse(text)) == normal


@pytest.mark.parametrize("text", ["", "linux/", "a/b/c/d", "lin ux/amd64", "nonsense", "/amd64"])
def test_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        platform.parse(text)


def offers(*texts: str) -> tuple[Platform | None, ...]:
    return tuple([None if text == "?" else platform.parse(text) for text in texts])


@pytest.mark.parametrize(
    ("wanted", "offered", "taken"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], 1),
        ("linux/arm64/v8", ["linux/amd64", "linux/arm64"], 1),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v8"], 1),
        ("linux/arm/v5", ["linux/arm/v7"], -1),
        ("linux/arm64", ["linux/arm/v6", "linux/arm/v7"], 1),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2"], 1),
        ("linux/amd64", ["linux/amd64/v2"], -1),
        ("linux/amd64", ["windows/amd64"], -1),
        ("linux/amd64", ["windows/amd64", "?"], 1),
        ("linux/amd64", [], -1),
    ],
)
def test_choice(wanted: str, offered: list[str], taken: int) -> None:
    assert platform.choose(offers(*offered), platform.parse(wanted)) == taken


def test_this_machine_is_known() -> None:
    assert platform.local().os == "linux"
    assert platform.local() == platform.local().normalized()
