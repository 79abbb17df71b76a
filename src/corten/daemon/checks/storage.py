"""File systems: what the kernel has, and what the data root's can do."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

from corten.daemon.checks.finding import Area, Finding, reason
from corten.snapshots.choose import probe_overlay

_LEAST = 1 << 30  # bytes
_KERNEL = {
    "proc": "no container starts",
    "sysfs": "no container starts",
    "tmpfs": "no container starts",
    "devpts": "no terminals",
    "mqueue": "no container starts",
}


def check(root: str) -> list[Finding]:
    """The findings; blocks while a program mounts an overlay.

    Arguments:
        root: the data root; what of it is there decides.
    """
    area = Area("files")
    known = _filesystems()
    for name, without in _KERNEL.items():
        area.add(
            name, name in known if known else None, need="needed", without=without,
            remedy=f"a kernel with {name}",
        )  # fmt: skip
    place = nearest(root)
    _overlay(area, place)
    _space(area, root, place)
    return area.findings


def _filesystems() -> set[str]:
    try:
        rows = Path("/proc/filesystems").read_text("ascii").splitlines()
    except OSError:
        return set()
    return {row.split()[-1] for row in rows if row.strip()}


def nearest(path: str) -> str:
    """The path, or the nearest directory above it that exists."""
    while not os.path.isdir(path):
        path = os.path.dirname(path) or "/"
    return path


def _overlay(area: Area, place: str) -> None:
    without = "the snapshotter native, which copies every layer: slower, and takes more space"
    remedy = "a data root on ext4, xfs or btrfs (cortend --root), and the module overlay"
    if os.geteuid() != 0:
        area.add("overlay", None, "only root can tell")
        return
    try:
        with tempfile.TemporaryDirectory(prefix=".corten-check-", dir=place) as base:
            works, why = asyncio.run(probe_overlay(base))
    except OSError as error:
        works, why = False, reason(error)
    said = f"tried in {place}" + (f": {why}" if why else "")
    area.add("overlay", works, said, without=without, remedy=remedy)


def _space(area: Area, root: str, place: str) -> None:
    free = shutil.disk_usage(place).free
    area.add(
        "space", free >= _LEAST, f"{free / 1e9:.1f} GB free for {root}",
        without="pulls of larger images fail",
        remedy="corten system prune, or a data root elsewhere (cortend --root)",
    )  # fmt: skip
