"""``corten`` in docker's place: the script of ``tests/e2e/transcript``, and what Debian's docker
printed for it."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli_driver import program
from tests.e2e.test_docker_transcript import expected
from tests.e2e.transcript import box
from tests.e2e.transcript.player import Player
from tests.e2e.transcript.record import RECORDING
from tests.e2e.transcript.script import CASES
from tests.e2e.transcript.serve import images
from tests.e2e.transcript.steps import Case, Record
from tests.harness import Daemon

RECORDED: dict[str, list[Record]] = json.loads(RECORDING.read_text())

# What ``corten`` does otherwise, on purpose.
OTHERWISE = {
    "memory below the least": "the kernel decides how little is enough",
    "too many processors": "more than there are is no limit",
    "program is a directory": "the error says that it is one, as docker's later releases do",
    "exec fails": "docker 20.10 prints the error of an exec's start to standard output",
    "detach keys unknown": "docker takes its own instead, silently",
    "volume create, list, inspect, remove": "a filter's value is not checked",
    "bind instead of the image's volume": "inspect shows mounts as the engine has them",
    "volume in inspect": "inspect shows mounts as the engine has them",
    "tmpfs and bind volumes of the local driver": "what the engine refuses is exit code 125",
    "commit": "an exposed port is printed as an empty map",
    "export and import": "a file that is not there is exit code 125",
    "prune": "`system df` has a row for packed layers, none for a build cache",
    "health: output, timeout, what can't run": "inspect does not show the check itself",
}

pytestmark = pytest.mark.skipif(not box.BUSYBOX.exists(), reason="needs busybox-static")


class CortenPlayer(Player):
    """Plays with ``corten`` and the daemon at ``host``, its state directory."""

    def environment(self) -> dict[str, str]:
        found = super().environment()
        del found["DOCKER_HOST"]
        return {**found, "CORTEN_STATE": self.host}


@pytest.fixture(scope="module")
def player(daemon: Daemon) -> Iterator[Player]:
    command = daemon.base / "corten"
    _write_program(command)
    with images() as names:
        made = CortenPlayer(str(daemon.state), str(command), names)
        for name in names.values():
            made._docker("pull", "-q", name)
        yield made


def _write_program(path: Path) -> None:
    """As the installer writes it."""
    python, flags, _, code, *_rest = program("corten.cli.thin")
    path.write_text(f"#!{python} {flags}\n{code.replace('; ', chr(10))}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


SAME = [case for case in CASES if case.name not in OTHERWISE]


@pytest.mark.parametrize("case", SAME, ids=lambda case: case.name)
def test_as_docker(player: Player, case: Case) -> None:
    assert player.play(case) == expected(case, RECORDED[case.name])


def test_each_difference_is_told() -> None:
    text = Path("docs/differences.md").read_text()
    missing = [f"| {case} | {reason} |" for case, reason in OTHERWISE.items()]
    assert [row for row in missing if row not in text] == []
