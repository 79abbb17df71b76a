"""Programs that Corten uses or can use where they are there."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from corten.daemon import config
from corten.daemon.checks.finding import Area, Finding

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OLDEST = (3, 11)


def check(root: str = "/") -> list[Finding]:
    """The findings; looks at files only.

    Arguments:
        root: where the machine's files lie.
    """
    area = Area("programs")
    area.add(
        "Python", sys.version_info >= _OLDEST, sys.version.split()[0], need="needed",
        without="nothing works", remedy="python3 3.11 or later as /usr/bin/python3",
    )  # fmt: skip
    area.add(
        "systemd", Path(root, "run/systemd/system").is_dir(),
        without="the daemon is started by the first command, not with the machine",
        remedy="start cortend in a boot script",
    )  # fmt: skip
    area.add(
        "modprobe", bool(shutil.which("modprobe", path=_PATH)),
        without="modules that the kernel does not load itself stay away",
        remedy="apt install kmod",
    )  # fmt: skip
    others = sorted(config.runtimes(config.Config()))
    area.add("other runtimes", True, ", ".join(others) or "none; --runtime takes runc, crun, runsc")
    return area.findings
