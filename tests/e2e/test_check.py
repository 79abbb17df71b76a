"""``corten system check``: without a daemon, on this machine and on a crippled one."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.harness import SITE, SOURCE

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

_CLI = (
    f"import sys; sys.path[:0] = [{str(SOURCE)!r}, {SITE!r}]; "
    "from corten.cli.thin import main; sys.exit(main())"
)


def check(tmp_path: Path, *before: str, words: tuple[str, ...] = ()) -> tuple[int, str]:
    """Exit code and output, where no daemon is."""
    done = subprocess.run(
        [*before, "/usr/bin/python3", "-IS", "-c", _CLI, "system", "check", *words],
        env={**os.environ, "CORTEN_STATE": str(tmp_path / "s"), "CORTEN_ROOT": str(tmp_path / "r")},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert not done.stderr
    return done.returncode, done.stdout


def findings(output: str) -> dict[str, Any]:
    return {one["Name"]: one for one in json.loads(output)["Findings"]}


def test_this_machine(tmp_path: Path) -> None:
    code, output = check(tmp_path, words=("--format", "json"))
    found = findings(output)
    assert code == 0
    for name in ("Linux", "tree", "bridges", "veth", "nftables", "libseccomp"):
        assert found[name]["Status"] == "ok", found[name]
    assert not list(tmp_path.iterdir())  # nothing is left, and no daemon was started


def test_a_machine_without_cgroups(tmp_path: Path) -> None:
    hidden = 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"'
    code, output = check(tmp_path, "unshare", "-m", "sh", "-c", hidden, "sh")
    assert code == 1
    assert "  missing  tree (needed): " in output
    assert "to do: mount -t cgroup2 none /sys/fs/cgroup" in output
    assert output.rstrip().endswith("1 that is needed is missing")
