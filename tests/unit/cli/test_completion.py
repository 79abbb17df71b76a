"""What may follow on a command line, and that asking never starts a daemon."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from corten.cli import completion
from corten.cli.app import root

BASH = Path(__file__).resolve().parents[3] / "packaging/completion/corten.bash"


def named(*names: str) -> Any:
    return SimpleNamespace(list=lambda: [SimpleNamespace(name=n, status="running") for n in names])


class Session:
    """What completion asks of a session."""

    def __init__(self, *, daemon: bool = True) -> None:
        images = [SimpleNamespace(tags=("docker.io/library/redis:7",))]
        self._client = SimpleNamespace(
            containers=named("web", "db"), volumes=named("data"), networks=named("app", "bridge"),
            images=SimpleNamespace(list=lambda: images), pods=named("pod1"),
        )  # fmt: skip
        self._daemon = daemon

    def if_running(self) -> Any:
        return self._client if self._daemon else None

    def of_tenant(self, _tenant: str) -> Any:
        return self._client


def complete(*words: str, daemon: bool = True) -> list[str]:
    return completion.candidates(root, Session(daemon=daemon), list(words))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("ru",), ["run"]),
        (("stop", ""), ["web", "db"]),
        (("container", "stop", "w"), ["web"]),
        (("run", ""), ["redis:7"]),
        (("image", "rm", ""), ["redis:7"]),
        (("volume", "rm", ""), ["data"]),
        (("volume", "create", ""), []),
        (("network", "rm", "a"), ["app"]),
        (("network", "connect", "app", "w"), ["web"]),
        (("pod", "inspect", ""), ["pod1"]),
        (("explain", ""), ["web", "db", "redis:7", "data", "app", "bridge"]),
        (("explain", "--type", "v"), ["volume"]),
        (("run", "--network", "a"), ["app"]),
        (("run", "--name", ""), []),
        (("completion", "f"), ["fish"]),
        (("system", "c"), ["check"]),
        (("top", "--int"), ["--interval"]),
    ],
)
def test_candidates(words: tuple[str, ...], found: list[str]) -> None:
    assert complete(*words) == found


def test_without_a_daemon_there_are_no_names() -> None:
    assert complete("stop", "", daemon=False) == []
    assert complete("sto", daemon=False) == ["stop"]


def test_bash_asks_and_fills_in(tmp_path: Path) -> None:
    program = tmp_path / "corten"
    program.write_text('#!/bin/sh\n[ "$*" = "__complete system c" ] && echo check\n')
    program.chmod(0o755)
    script = (
        f"PATH={tmp_path}:$PATH; . {BASH}; COMP_WORDS=(corten system c); COMP_CWORD=2; "
        "_corten; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "check\n"
