"""The guides: each command line in them is run, in their order, and must do what they say.

Blocks marked ``sh`` are run; ``console`` are for what changes the machine (installation). A line
that begins with ``!`` must fail.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli_driver import program
from tests.e2e.network_lab import NetnsDaemon
from tests.harness import REPOSITORY

GUIDES = REPOSITORY / "docs/guides"
NAMES = sorted(path.name for path in GUIDES.glob("*.md"))
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def daemon() -> Iterator[NetnsDaemon]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    server = NetnsDaemon()
    server.start()
    try:
        yield server
    finally:
        server.close()


def script(text: str, daemon: NetnsDaemon, scratch: Path) -> str:
    """The guide's lines as one script that ends at the first one that does not do.

    Arguments:
        scratch: in the place of ``/tmp``, where others may be.
    """
    lines = []
    for line in "\n".join(_BLOCK.findall(text)).splitlines():
        shown = re.sub(r"(?<=[ :])/tmp\b", str(scratch), line)
        shown = shown.replace("/run/corten/", f"{daemon.state}/")
        if shown.startswith("! "):
            shown = f"if {shown[2:]}; then echo 'it should have failed: {shown[2:]}'; exit 9; fi"
        lines.append(shown)
    return "\n".join(lines)


@pytest.mark.parametrize("name", NAMES)
def test_every_line_of_a_guide(name: str, daemon: NetnsDaemon, tmp_path: Path) -> None:
    words = [w.replace("'", "'\\''") for w in program("corten.cli.thin")]
    quoted = " ".join(f"'{word}'" for word in words)
    tool = tmp_path / "corten"
    tool.write_text(f'#!/bin/sh\nexec {quoted} "$@"\n')
    tool.chmod(0o755)
    environ = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("DOCKER_", "CORTEN_"))},
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "CORTEN_STATE": str(daemon.state),
        "CORTEN_ROOT": str(daemon.root),
        "DOCKER_CONFIG": str(tmp_path),
    }
    done = subprocess.run(
        [*daemon.inside(), "bash", "-euxo", "pipefail", "-c",
         script((GUIDES / name).read_text(), daemon, tmp_path)],
        env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-6000:]}"
    left = daemon.corten("ps", "-aq").stdout + daemon.corten("volume", "ls", "-q").stdout
    assert left == ""
