"""The peers' daemons must not touch this machine's network: the whole run moves into mount,
network and pid namespaces of its own, as the lanes of CI do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
MARK = "CORTEN_BENCH_INSIDE"


def enter() -> None:
    """Run again inside the namespaces, unless this is there already; ends the outer process."""
    if os.environ.get(MARK):
        return
    argv = [
        "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
        "--propagation", "private", sys.executable, "-m", "bench", *sys.argv[1:],
    ]  # fmt: skip
    sys.exit(subprocess.call(argv, cwd=REPOSITORY, env={**os.environ, MARK: "1"}))


def prepare() -> None:
    """Loopback, sysfs of this network namespace, and no v2 hierarchy: crun 1.8 takes an empty
    one for the whole machine."""
    from tools import lanes

    lanes.prepare_namespaces()
    unified = Path("/sys/fs/cgroup/unified")
    if unified.is_dir():
        subprocess.run(["umount", "-l", str(unified)], check=False, stderr=subprocess.DEVNULL)
