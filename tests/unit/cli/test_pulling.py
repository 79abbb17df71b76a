"""How a pull is shown, on a terminal and elsewhere; what the credentials are."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from corten.cli import credentials
from corten.cli.pulling import Bars, Lines
from corten.errors import Unauthenticated

ITEMS: list[dict[str, Any]] = [
    {"id": "latest", "status": "Pulling from library/x"},
    {"id": "aaaa", "status": "Pulling fs layer"},
    {"id": "bbbb", "status": "Already exists"},
    {"id": "aaaa", "status": "Downloading", "current": 500_000, "total": 1_000_000},
    {"id": "aaaa", "status": "Downloading", "current": 1_000_000, "total": 1_000_000},
    {"id": "aaaa", "status": "Pull complete"},
    {"id": "", "status": "Digest: sha256:12"},
    {"id": "", "status": "Status: Downloaded"},
]


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(screen: Screen) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())


def test_lines_tell_every_change_once() -> None:
    out = io.StringIO()
    lines = Lines(out)
    for item in ITEMS:
        lines.update(item)
    assert out.getvalue().splitlines() == [
        "latest: Pulling from library/x", "aaaa: Pulling fs layer", "bbbb: Already exists",
        "aaaa: Pull complete", "Digest: sha256:12", "Status: Downloaded",
    ]  # fmt: skip


def test_bars_end_whole_with_the_result_below() -> None:
    out = Screen()
    bars = Bars(out)
    for item in ITEMS:
        bars._drawn = 0.0  # draw each
        bars.update(item)
    bars.close()
    text = shown(out)
    assert "500kB/1MB" in text
    assert text.rstrip().endswith("Digest: sha256:12\nStatus: Downloaded")
    assert "aaaa Pull complete" in text


def config(tmp_path: Path, **content: Any) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(autouse=True)
def no_docker_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)


def auth(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def test_credentials_of_a_registry(tmp_path: Path) -> None:
    path = config(tmp_path, auths={"r.example:5000": auth("me:a:b")})
    found = credentials.for_image("r.example:5000/x:latest", path)
    assert found == {"username": "me", "password": "a:b"}
    assert credentials.for_image("other.example/x:latest", path) is None


def test_credentials_of_the_hub(tmp_path: Path) -> None:
    path = config(tmp_path, auths={"https://index.docker.io/v1/": auth("me:pw")})
    assert credentials.for_image("docker.io/library/x:1", path) == {
        "username": "me", "password": "pw",
    }  # fmt: skip


def test_a_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-test"
    helper.write_text('#!/bin/sh\nread r; echo "{\\"Username\\":\\"u\\",\\"Secret\\":\\"$r\\"}"\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    path = config(tmp_path, credHelpers={"r.example": "test"})
    assert credentials.for_image("r.example/x:1", path) == {
        "username": "u", "password": "r.example",
    }  # fmt: skip


def test_a_helper_that_is_missing_is_named(tmp_path: Path) -> None:
    path = config(tmp_path, credsStore="absent-helper")
    with pytest.raises(Unauthenticated, match="docker-credential-absent-helper"):
        credentials.for_image("r.example/x:1", path)


def test_no_config_is_no_credentials(tmp_path: Path) -> None:
    assert credentials.for_image("r.example/x:1", tmp_path / "absent") is None


def test_broken_credentials_are_named(tmp_path: Path) -> None:
    path = config(tmp_path, auths={"r.example": {"auth": "?"}})
    with pytest.raises(Unauthenticated, match=r"r\.example"):
        credentials.for_image("r.example/x:1", path)
