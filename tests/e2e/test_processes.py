"""What ``ps`` and ``pgrep`` show of Corten's own processes."""

from __future__ import annotations

from pathlib import Path

from tests.harness import Daemon, leaked_processes
from tests.support import eventually


def names(daemon: Daemon) -> set[str]:
    """The command names of everything that runs below the daemon's roots."""
    found = set()
    for row in leaked_processes(daemon.base):
        try:
            found.add(Path(f"/proc/{row.split()[1].rstrip(':')}/comm").read_text().strip())
        except OSError:
            continue
    return found


def test_each_says_what_it_is(daemon: Daemon) -> None:
    daemon.corten("run", "-d", "--name", "one", "hello", "sleep", "1000")
    wanted = {"cortend", "corten-warm", "corten-launcher"}
    eventually(lambda: wanted <= names(daemon), what=f"{wanted} among {names(daemon)}")
    monitor = daemon.corten("inspect", "--format", "{{.Id}}", "one").stdout[:8]
    assert f"corten-{monitor}"[:15] in names(daemon)
