"""What docker users rely on, compared with what Debian's dockerd did on the same commands.

``tests/e2e/transcript`` holds the script and the recording; ``make soak`` runs dockerd itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest

from tests.e2e.transcript import box, dockerd
from tests.e2e.transcript.player import Player
from tests.e2e.transcript.record import RECORDING
from tests.e2e.transcript.script import CASES
from tests.e2e.transcript.serve import images
from tests.e2e.transcript.steps import Case, Record, Run, Until
from tests.harness import Daemon

CLIS = {"20.10": dockerd.CLI, "28.2": "/usr/local/bin/docker"}
RECORDED: dict[str, list[Record]] = json.loads(RECORDING.read_text())

pytestmark = pytest.mark.skipif(
    not (box.BUSYBOX.exists() and shutil.which(dockerd.CLI)),
    reason="needs Debian's docker.io and busybox-static",
)


@pytest.fixture(scope="module")
def names(daemon: Daemon) -> Iterator[dict[str, str]]:
    with images() as served:
        for name in served.values():
            daemon.docker("pull", "-q", name, cli=dockerd.CLI)
        yield served


@pytest.mark.parametrize("cli", CLIS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_as_recorded(daemon: Daemon, names: dict[str, str], case: Case, cli: str) -> None:
    if not shutil.which(CLIS[cli]):
        pytest.skip(f"docker {cli} is not installed at {CLIS[cli]}")
    player = Player(daemon.docker_host, CLIS[cli], names)
    assert player.play(case) == expected(case, RECORDED[case.name])


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_recording_is_still_true() -> None:
    """Debian's dockerd, live, does what was recorded."""
    with dockerd.running() as host:
        player = Player(host, dockerd.CLI, dockerd.NAMES)
        for case in CASES:
            assert player.play(case) == RECORDED[case.name], case.name


def expected(case: Case, recorded: list[Record]) -> list[Record]:
    """The recording, with the exit codes that differ on purpose."""
    steps = [step for step in case.steps if not isinstance(step, Until)]
    assert [step.line for step in steps] == [record["line"] for record in recorded]
    return [
        record | {"exit": step.instead}
        if isinstance(step, Run) and step.instead is not None
        else record
        for step, record in zip(steps, recorded, strict=True)
    ]
