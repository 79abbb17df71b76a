"""``state.json``: what a monitor leaves for whoever comes later."""

from __future__ import annotations

import os
import sys

from corten.launch.messages import MonitorState
from corten.spec.jsonlite import dumpb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# A health check runs an exec every few seconds for months: the engine has their exit
# codes from the events, this file keeps the last ones for a daemon that was away.
_ENDED_EXECS = 64


class StateFile:
    """The record of one run directory. :meth:`set` is visible to others when it returns."""

    def __init__(self, run_dir: str, state: MonitorState) -> None:
        self._dir = run_dir
        self.record: dict[str, Any] = state.to_dict()

    def set(self, **changes: Any) -> None:
        """Change fields and write the file, by rename."""
        self.record.update(changes)
        self.write()

    def set_exec(self, exec_id: str, state: dict[str, Any]) -> None:
        """Change the record of one exec and write the file."""
        execs = self.record["execs"]
        execs[exec_id] = state
        ended = [key for key, value in execs.items() if value["status"] == "exited"]
        for key in ended[: max(0, len(ended) - _ENDED_EXECS)]:
            del execs[key]
        self.write()

    def write(self) -> None:
        """Replace ``state.json``. Its file system is a tmpfs: nothing is synced.

        Raises:
            OSError: as the file system says; the file before is whole.
        """
        path = f"{self._dir}/state.json"
        fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            raw = dumpb(self.record)
            while raw:
                raw = raw[os.write(fd, raw) :]
        finally:
            os.close(fd)
        os.rename(f"{path}.new", path)


def boot_id() -> str:
    """Which boot of the host this is."""
    fd = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 64).decode().strip()
    finally:
        os.close(fd)


def report_crash(run_dir: str, error: BaseException) -> None:
    """Leave a traceback in the run directory: a defect of ours. Whoever looks after the run
    directory finds the lock free and no end recorded, and buries the container."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    fd = os.open(f"{run_dir}/monitor.err", flags, 0o600)
    os.dup2(fd, 2)
    sys.excepthook(type(error), error, error.__traceback__)
    sys.stderr.flush()
