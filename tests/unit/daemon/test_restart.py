"""``cortend --restart`` beside a supervisor that starts the daemon, too."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from corten.daemon import restart as module


class Served:
    """The client of whichever daemon won."""

    def __init__(self, _path: str) -> None: ...

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None: ...

    def version(self) -> dict[str, str]:
        return {"version": "1"}


@pytest.fixture
def ours() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child
        child.kill()


@pytest.mark.parametrize("won", [True, False])
def test_one_that_a_slow_supervisor_beat_is_taken_back(
    ours: subprocess.Popen[bytes], won: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would serve as soon as the other ends."""
    monkeypatch.setattr(module, "peer", lambda _path: ours.pid if won else ours.pid + 1)
    monkeypatch.setattr(module, "_unit_of", lambda _pid: "")
    monkeypatch.setattr(module, "_replace", lambda _old, _state: ours.pid)
    monkeypatch.setattr(module, "_wait", lambda *_: None)
    monkeypatch.setattr(module, "Client", Served)
    assert "was restarted" in module.restart(state="/nowhere")
    assert (ours.poll() is None) == won
