"""Settings of the host that a daemon changed: put back when Corten is taken away."""

from __future__ import annotations

import functools
import glob
import os
from pathlib import Path

from corten.networks import records
from corten.networks.host import IP_FORWARD
from corten.store.database import Database

_SYSCTL_FILES = (
    "etc/sysctl.conf",
    "etc/sysctl.d/*.conf",
    "run/sysctl.d/*.conf",
    "usr/local/lib/sysctl.d/*.conf",
    "usr/lib/sysctl.d/*.conf",
)


def restore(db: Database, *, prefix: str, root: str = "/") -> list[str]:
    """Put back what was changed and is still as we set it; blocks.

    Forwarding stays on where somebody else needs it by now: a bridge that is not ours, or an
    administrator who asks for it in a file of sysctl.d(5).

    Arguments:
        prefix: of our own links.
        root: where the host's files lie.
    Returns:
        what was done, or left, for the user.
    """
    said = []
    for path, previous, value in db.read(records.settings):
        setting = Path(root) / path.lstrip("/")
        try:
            now = setting.read_text("ascii").strip()
            reason = _why_not(path, prefix, Path(root)) if now == value else ""
            if reason:
                said.append(f"{path} stays {now}: {reason}")
            elif now == value:
                setting.write_text(previous, "ascii")
                said.append(f"{path} is {previous} again")
        except OSError as error:
            said.append(f"{path} stays as it is: {error.strerror}")
            continue
        db.write_blocking(functools.partial(records.forget_setting, path=path))
    return said


def _why_not(path: str, prefix: str, root: Path) -> str:
    if path != IP_FORWARD:
        return ""
    for pattern in _SYSCTL_FILES:
        for file in sorted(glob.glob(str(root / pattern))):
            if _asks_for_forwarding(Path(file)):
                return f"{file} asks for it"
    for bridge in sorted(glob.glob(str(root / "sys/class/net/*/bridge"))):
        name = os.path.basename(os.path.dirname(bridge))
        if not name.startswith(prefix):
            return f"the bridge {name} may need it"
    return ""


def _asks_for_forwarding(file: Path) -> bool:
    rows = file.read_text("utf-8", "replace").splitlines()
    pairs = [row.strip().lstrip("-").partition("=") for row in rows]
    return any(
        name.strip().replace("/", ".") == "net.ipv4.ip_forward" and value.strip() == "1"
        for name, _, value in pairs
    )
