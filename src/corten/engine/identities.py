"""Whom a process runs as, asked of the kernel."""

from __future__ import annotations

from pathlib import Path

from corten.engine.types import Identity


def identity_of(pid: int) -> Identity | None:
    """Real user, group and supplementary groups; None: there is no such process."""
    try:
        rows = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return None
    fields = {name: value.split() for name, _, value in (row.partition(":") for row in rows)}
    if not fields.get("Uid") or not fields.get("Gid"):
        return None
    return Identity(
        uid=int(fields["Uid"][0]),
        gid=int(fields["Gid"][0]),
        groups=tuple(int(group) for group in fields.get("Groups", ())),
    )
