"""The thin client against a daemon of coroutines: once with a warm worker, once without."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli_driver import Corten, program
from tests.harness import accepts
from tests.support import eventually


@pytest.fixture(scope="session")
def state() -> Iterator[Path]:
    """The state directory of a running fake daemon."""
    with tempfile.TemporaryDirectory(prefix="corten-cli-", dir="/tmp") as directory:
        path = Path(directory)
        path.chmod(0o711)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.cli.fakedaemon", directory],
            env={**os.environ, "PYTHONPATH": "src:."},
        )
        try:
            eventually(lambda: accepts(path / "corten.sock"), what="the fake daemon")
            yield path
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def warm(state: Path) -> Iterator[Path]:
    """The state directory, with a warm program."""
    lifeline, ours = os.pipe()
    process = subprocess.Popen([*program("corten.cli.warm"), "--state", str(state)], stdin=lifeline)
    os.close(lifeline)
    try:
        eventually(lambda: accepts(state / "cli.sock"), what="the warm program")
        (state / "cli.sock").chmod(0o666)
        yield state
    finally:
        os.close(ours)  # its end, as when the daemon dies
        assert process.wait(10) == 0
        (state / "cli.sock").unlink()


@pytest.fixture(params=["warm", "own process"])
def corten(request: pytest.FixtureRequest, state: Path) -> Corten:
    """The command, by both ways: results must be the same."""
    if request.param == "warm":
        request.getfixturevalue("warm")
        return Corten(state, bare=True)
    made = Corten(state)
    made.environ["CORTEN_STATE"] = str(_without_warm(state))
    return made


def _without_warm(state: Path) -> Path:
    """The same daemon in a directory that has no ``cli.sock``."""
    other = state / "cold"
    if not other.exists():
        other.mkdir()
        (other / "corten.sock").symlink_to(state / "corten.sock")
    return other
