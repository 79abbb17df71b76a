"""The script: what docker users rely on, one case a promise."""

from __future__ import annotations

from tests.e2e.transcript.script_files import FILES
from tests.e2e.transcript.script_life import LIFE
from tests.e2e.transcript.script_policies import POLICIES
from tests.e2e.transcript.script_process import PROCESS
from tests.e2e.transcript.script_streams import STREAMS
from tests.e2e.transcript.script_terminal import TERMINAL
from tests.e2e.transcript.script_volumes import VOLUMES
from tests.e2e.transcript.steps import Case

CASES: tuple[Case, ...] = (
    *PROCESS,
    *STREAMS,
    *LIFE,
    *TERMINAL,
    *VOLUMES,
    *FILES,
    *POLICIES,
)

assert len({case.name for case in CASES}) == len(CASES), "two cases have the same name"
