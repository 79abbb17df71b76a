"""A disk that fills up: a clear error, nothing left, and a retry that works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import needs_root


@needs_root
def test_full_disk(tmp_path: Path) -> None:
    # The file system is mounted in a mount namespace of the child's own.
    child = [sys.executable, "-W", "error", "-m", "tests.unit.images.fulldisk", str(tmp_path)]
    base = Path(__file__).parents[3]
    run = ["unshare", "-m", "env", f"PYTHONPATH={base}/src:{base}", *child]
    done = subprocess.run(run, check=False, capture_output=True, text=True, cwd=base)
    assert done.returncode == 0, done.stderr
