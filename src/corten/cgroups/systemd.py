"""A cgroup that systemd makes: a transient scope (or slice), filled by one of the others.

systemd makes no scope without a process, and the container's init is born inside its group.
So a placeholder goes first: it holds the scope until init is there and is killed then.
"""

from __future__ import annotations

import _signal
import posix

from corten.cgroups import units
from corten.cgroups.detect import hierarchies
from corten.cgroups.manager import Manager
from corten.errors import AlreadyExists, FailedPrecondition, NotFound
from corten.kernel import creds, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.cgroups.base import Cgroup, Kind

_SIGKILL = 9


class SystemdCgroup:
    """The protocol :class:`corten.cgroups.base.Cgroup` through systemd.

    Arguments:
        path: ``slice:prefix:name``; a name ending in ``.slice`` is a slice.
    """

    kind: Kind = "systemd"

    def __init__(self, path: str) -> None:
        self.path = path
        self._unit = units.parse(path)
        self._v2 = hierarchies().kind == "v2"
        self._group = _file_system_group(self._unit.path, self._v2)
        self._placeholder = (-1, -1)

    def create(self, *, exclusive: bool = False) -> None:
        """See the protocol."""
        if exclusive and (pids := self._group.pids()):
            raise FailedPrecondition(
                f"cgroup holds processes already: {pids[:8]}", step="create cgroup", path=self.path
            )
        pid = 0 if self._unit.is_slice else self._hold()
        try:
            with Manager() as manager:
                self._start(manager, pid)
            # on v1 systemd knows some of the controllers only
            self._group.create()
        except BaseException:
            self.joined()
            self._stop()
            raise

    def _start(self, manager: Manager, pid: int) -> None:
        properties = units.start_properties(self._unit, pid)
        arguments: tuple[Any, ...] = (self._unit.name, "replace", properties, [])
        try:
            manager.run_job("StartTransientUnit", "ssa(sv)a(sa(sv))", *arguments)
        except AlreadyExists:
            if self._unit.is_slice:
                return
            # what a crash left behind as failed; a living scope holds processes and stays
            if self._group.pids():
                raise
            manager.call("ResetFailedUnit", "s", self._unit.name)
            manager.run_job("StartTransientUnit", "ssa(sv)a(sa(sv))", *arguments)

    def _hold(self) -> int:
        pid, pidfd = process.clone3()
        if pid == 0:
            try:
                creds.set_pdeathsig(_SIGKILL)
                process.close_range(0)
                while True:
                    _signal.pause()
            finally:
                posix._exit(1)
        self._placeholder = (pid, pidfd)
        return pid

    def joined(self) -> None:
        """See the protocol: the placeholder goes."""
        _, pidfd = self._placeholder
        if pidfd < 0:
            return
        self._placeholder = (-1, -1)
        try:
            process.pidfd_send_signal(pidfd, _SIGKILL)
            process.wait_pidfd(pidfd)
        except (ProcessLookupError, ChildProcessError):
            pass
        finally:
            posix.close(pidfd)

    def apply(self, resources: dict[str, Any]) -> None:
        """See the protocol."""
        properties = units.limit_properties(resources, v2=self._v2)
        if properties:
            with Manager() as manager:
                manager.call("SetUnitProperties", "sba(sv)", self._unit.name, True, properties)
        self._group.apply(resources)

    def _stop(self) -> None:
        with Manager() as manager:
            try:
                manager.run_job("StopUnit", "ss", self._unit.name, "replace")
            except NotFound:
                return

    def delete(self, *, timeout: float = 5.0) -> None:
        """See the protocol."""
        self.joined()
        self._stop()
        self._group.delete(timeout=timeout)

    def join_files(self) -> list[int]:
        """See the protocol."""
        return self._group.join_files()

    def dir_fd(self, *, beside: int = 0) -> int:
        """See the protocol."""
        return self._group.dir_fd(beside=beside)

    def add_process(self, pid: int) -> None:
        """See the protocol."""
        self._group.add_process(pid)

    def pids(self) -> list[int]:
        """See the protocol; the placeholder does not count."""
        return [pid for pid in self._group.pids() if pid != self._placeholder[0]]

    def exists(self) -> bool:
        """See the protocol."""
        return self._group.exists()

    def freeze(self, *, timeout: float = 10.0) -> None:
        """See the protocol."""
        self._group.freeze(timeout=timeout)

    def thaw(self, *, timeout: float = 10.0) -> None:
        """See the protocol."""
        self._group.thaw(timeout=timeout)

    def frozen(self) -> bool:
        """See the protocol."""
        return self._group.frozen()

    def kill(self, signal: int = 9) -> None:
        """See the protocol."""
        self._group.kill(signal)

    def stats(self) -> dict[str, Any]:
        """See the protocol."""
        return self._group.stats()

    def oom_kill_count(self) -> int:
        """See the protocol."""
        return self._group.oom_kill_count()

    def oom_fd(self) -> int:
        """See the protocol."""
        return self._group.oom_fd()


def _file_system_group(path: str, v2: bool) -> Cgroup:
    if v2:
        from corten.cgroups.v2 import V2Cgroup

        return V2Cgroup(path)
    from corten.cgroups.v1 import V1Cgroup

    return V1Cgroup(path)
