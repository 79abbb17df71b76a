"""``state.json``: what a monitor leaves for whoever comes later."""

from __future__ import annotations

import os
import sys
from errno import EISDIR, ENOENT, ENOTDIR

from corten.launch.messages import MonitorState, read
from corten.spec.jsonlite import dumpb, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# A health check runs an exec every few seconds for months: the engine has their exit
# codes from the events, this file keeps the last ones for a daemon that was away.
_ENDED_EXECS = 64
_GROWTH = 512  # bytes that an exit adds to the record
_NOT_OURS = (ENOENT, ENOTDIR, EISDIR)  # somebody took the run directory away
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC


class StateFile:
    """The record of one run directory. :meth:`set` is visible to others when it returns.

    Space for the next version is kept beside the file: an exit has to be written on a full
    disk, too. Where that is not enough, the record in memory (which every reply shows) is
    ahead of the file until :meth:`settle` has written it.
    """

    def __init__(self, run_dir: str, state: MonitorState) -> None:
        self._path = f"{run_dir}/state.json"
        self._behind = False
        self.record: dict[str, Any] = state.to_dict()

    @classmethod
    def load(cls, run_dir: str) -> StateFile:
        """What an attendant before us wrote.

        Raises:
            OSError, CortenError: it is not there, or not ours.
        """
        fd = os.open(f"{run_dir}/state.json", os.O_RDONLY | os.O_CLOEXEC)
        try:
            raw = os.read(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)
        return cls(run_dir, read(MonitorState, loads(raw, what="state.json")))

    @property
    def behind(self) -> bool:
        """The file does not say it all."""
        return self._behind

    def set(self, **changes: Any) -> None:
        """Change fields and write the file, by rename."""
        self.record.update(changes)
        self._behind = True
        self.settle()

    def set_exec(self, exec_id: str, state: dict[str, Any]) -> None:
        """Change the record of one exec and write the file."""
        execs = self.record["execs"]
        execs[exec_id] = state
        ended = [key for key, value in execs.items() if value["status"] == "exited"]
        for key in ended[: max(0, len(ended) - _ENDED_EXECS)]:
            del execs[key]
        self.set()

    def settle(self) -> bool:
        """Write what the file system did not take before; whether the file says it all.

        Raises:
            OSError: there is no run directory any more, which no waiting brings back.
        """
        if self._behind:
            try:
                self.write()
            except OSError as error:
                if error.errno in _NOT_OURS:
                    raise
                return False
        return True

    def write(self) -> None:
        """Replace ``state.json``. Its file system is a tmpfs: nothing is synced.

        Raises:
            OSError: as the file system says; the file before is whole.
        """
        raw = dumpb(self.record)
        fd = os.open(f"{self._path}.new", _FLAGS, 0o600)
        try:
            done = 0
            while done < len(raw):
                done += os.write(fd, raw[done:] if done else raw)
            os.ftruncate(fd, done)
        finally:
            os.close(fd)
        os.rename(f"{self._path}.new", self._path)
        self._behind = False
        self._reserve(len(raw) + _GROWTH)

    def _reserve(self, size: int) -> None:
        """Space for the next version, as far as there is any."""
        try:
            fd = os.open(f"{self._path}.new", _FLAGS, 0o600)
            try:
                os.posix_fallocate(fd, 0, size)
            finally:
                os.close(fd)
        except OSError:
            pass


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
    try:
        fd = os.open(f"{run_dir}/monitor.err", flags, 0o600)
        os.dup2(fd, 2)
    except OSError:
        pass  # then it goes where the launcher's diagnostics go
    sys.excepthook(type(error), error, error.__traceback__)
    sys.stderr.flush()
