"""Everything that one daemon has at a moment, as text that can be compared: what is more
afterwards than before was leaked, what is less was lost."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from pathlib import Path

# Of these tables a row is left on purpose: history, and what may be used again.
_HISTORY = {"events", "sqlite_sequence", "schema_migrations", "migrations", "host_settings"}


def inventory(root: Path, state: Path, prefix: str, network_pid: int) -> set[str]:
    """
    Arguments:
        network_pid: a process in the daemon's network namespace.
    """
    return (
        _mounts(root.parent)
        | _groups(prefix)
        | _links(network_pid, prefix)
        | _run_state(state)
        | _disk(root)
        | _rows(root / "corten.db")
    )


def _mounts(base: Path) -> set[str]:
    rows = Path("/proc/self/mountinfo").read_text().splitlines()
    return {f"mount {row.split()[4]}" for row in rows if f"{base}/" in row.split()[4] + "/"}


def _groups(prefix: str) -> set[str]:
    found = set()
    for group in _own_groups(prefix):
        found.add(f"cgroup {group}")
        with contextlib.suppress(OSError):
            for pid in (group / "cgroup.procs").read_text().split():
                name = _name(pid)
                if name != "corten-resolver":  # comes with the first network of one's own
                    found.add(f"process {name} in {group.name}")
    return found


def _own_groups(prefix: str) -> list[Path]:
    top = Path("/sys/fs/cgroup")
    hierarchies = [top, *(entry for entry in top.iterdir() if entry.is_dir())]
    found = []
    for hierarchy in hierarchies:
        for name in (prefix, f"{prefix}-monitors"):
            with contextlib.suppress(OSError):
                # With its last container a daemon's own group may go or stay.
                found += [path for path in (hierarchy / name).rglob("*") if path.is_dir()]
                if name != prefix and (hierarchy / name).is_dir():
                    found.append(hierarchy / name)
    return found


def _name(pid: str) -> str:
    """A launcher or monitor by its name; its number changes with each start."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "gone"


def _links(pid: int, prefix: str) -> set[str]:
    """The interfaces of containers; the bridge comes with the first and may stay."""
    rows = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    names = {row.partition(":")[0].strip() for row in rows}
    return {f"link {name}" for name in names if name.startswith(("veth", f"{prefix}v"))}


def _run_state(state: Path) -> set[str]:
    found = set()
    for directory in ("run", "pods", "podfiles", "netns"):
        with contextlib.suppress(FileNotFoundError):
            found |= {f"state {path}" for path in (state / directory).iterdir()}
    return found


def _disk(root: Path) -> set[str]:
    found = set()
    places = [
        "containers",
        "ingest",
        "blobs/sha256",
        "snapshots/overlay",
        "snapshots/overlay/trash",
        "volumes/docker",
        "volumes/k8s",
    ]
    for directory in places:
        with contextlib.suppress(FileNotFoundError):
            found |= {f"disk {path}" for path in (root / directory).iterdir()}
    return found


def _rows(path: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        names = [
            row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        found = set()
        for name in names:
            if name not in _HISTORY:
                (count,) = db.execute(f"SELECT count(*) FROM {name}").fetchone()
                found |= {f"row {number} of {name}" for number in range(1, count + 1)}
    return found


def opened(pid: int) -> Counter[str]:
    """What a process has open."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(str(entry.readlink()))
    # The database has up to some readers, each with its thread, as they are needed.
    return Counter(name for name in found if "/corten.db" not in name)
