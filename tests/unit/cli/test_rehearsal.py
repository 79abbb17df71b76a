"""What a spare worker plays before its client comes."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.harness import SOURCE

PROGRAM = """
from corten.cli.rehearsal import rehearse
before = dict(__import__("os").environ)
codes = [rehearse(), rehearse()]
assert dict(__import__("os").environ) == before
raise SystemExit(codes != [0, 0])
"""


def test_a_command_is_played_to_its_end_and_says_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
