"""One cgroup in the unified hierarchy."""

from __future__ import annotations

import posix
import time
from errno import EBUSY, ENOENT

from corten.cgroups import devices_bpf, fs, settings_v2, signalling, stats_v2
from corten.cgroups.detect import checked, hierarchies, own_group
from corten.cgroups.devices import normalise
from corten.cgroups.settings import check_before_update, member, write_all
from corten.errors import DeadlineExceeded, FailedPrecondition
from corten.kernel import paths
from corten.kernel.files import IN_MODIFY, inotify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.cgroups.base import Kind
    from corten.cgroups.settings import Setting

_SIGKILL = 9


class V2Cgroup:
    """The protocol :class:`corten.cgroups.base.Cgroup` on v2.

    Arguments:
        path: absolute below the top of the hierarchy as our cgroup namespace shows it; a
            relative one is beside our own group, which is where a delegated tree lets us work.
        top: the hierarchy's mount point; the host's if empty.
    """

    kind: Kind = "v2"

    def __init__(self, path: str, top: str = "") -> None:
        if not path.startswith("/"):
            path = f"{paths.parent(own_group())}/{path}"
        self.path = checked(path)
        self._top = top or hierarchies().unified
        self._dir = self._top + self.path

    def create(self, *, exclusive: bool = False) -> None:
        """See the protocol. Controllers are enabled in every ancestor, as far as it has them."""
        if exclusive and (pids := self.pids()):
            raise FailedPrecondition(
                f"cgroup holds processes already: {pids[:8]}", step="create cgroup", path=self._dir
            )
        made = fs.make(self._dir, self._top)
        try:
            if made:
                _enable_down(self._top, paths.parent(self._dir))
        except BaseException:
            fs.unmake(made)
            raise

    def apply(self, resources: dict[str, Any]) -> None:
        """See the protocol."""
        cpu = member(resources, "cpu")
        present = "max 100000"
        if cpu.get("period") or cpu.get("quota"):
            present = fs.read_or(f"{self._dir}/cpu.max", present)
        plan = settings_v2.plan(resources, cpu_max=present)
        check_before_update(member(resources, "memory"), f"{self._dir}/memory.current")
        rules = resources.get("devices")
        if rules:
            try:
                devices_bpf.attach(self._dir, normalise(rules))
            except OSError as error:
                raise fs.failed(error, self._dir, "device rules") from None
        write_all(plan, self._directory)

    def _directory(self, _setting: Setting) -> str:
        return self._dir

    def join_files(self) -> list[int]:
        """See the protocol; a process is born inside instead."""
        return []

    def dir_fd(self, *, beside: int = 0) -> int:
        """See the protocol."""
        group = self._dir
        if beside and fs.read_or(f"{group}/cgroup.subtree_control"):
            inner = own_group(beside)
            if inner.startswith(f"{self.path}/"):
                group = self._top + inner
        try:
            return posix.open(group, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
        except OSError as error:
            raise fs.failed(error, group) from None

    def joined(self) -> None:
        """See the protocol; nothing to do."""

    def add_process(self, pid: int) -> None:
        """See the protocol."""
        file = f"{self._dir}/cgroup.procs"
        try:
            fs.write_raw(file, str(pid))
        except OSError as error:
            failure = fs.failed(error, file, str(pid))
            if error.errno == EBUSY:
                failure.hint = "the group has inner groups with controllers; v2 wants leaves"
            raise failure from None

    def pids(self) -> list[int]:
        """See the protocol."""
        return fs.pids_in(self._dir)

    def exists(self) -> bool:
        """See the protocol."""
        return paths.is_directory(self._dir)

    def freeze(self, *, timeout: float = 10.0) -> None:
        """See the protocol."""
        try:
            self._set_frozen(True, timeout)
        except DeadlineExceeded:
            fs.write(f"{self._dir}/cgroup.freeze", "0")
            raise

    def thaw(self, *, timeout: float = 10.0) -> None:
        """See the protocol."""
        self._set_frozen(False, timeout)

    def _set_frozen(self, on: bool, timeout: float) -> None:
        fs.write(f"{self._dir}/cgroup.freeze", str(int(on)))
        end = time.monotonic() + timeout
        pause = 0.0002
        while fs.read_table(f"{self._dir}/cgroup.events").get("frozen", int(on)) != int(on):
            if time.monotonic() > end:
                raise DeadlineExceeded(
                    f"cgroup did not {'freeze' if on else 'thaw'} within {timeout:g} s",
                    step="freeze",
                    path=self._dir,
                    hint="a process inside sleeps uninterruptibly (ps shows D)",
                )
            time.sleep(pause)
            pause = min(pause * 2, 0.02)

    def frozen(self) -> bool:
        """See the protocol."""
        return fs.read_or(f"{self._dir}/cgroup.freeze") == "1"

    def kill(self, signal: int = 9) -> None:
        """See the protocol. SIGKILL is one write since Linux 5.14."""
        if signal == _SIGKILL:
            try:
                fs.write_raw(f"{self._dir}/cgroup.kill", "1")
                return
            except OSError as error:
                if error.errno != ENOENT:
                    raise fs.failed(error, f"{self._dir}/cgroup.kill", "1") from None
        signalling.signal_all(self, signal, thaw_for=False)

    def stats(self) -> dict[str, Any]:
        """See the protocol."""
        return stats_v2.read(self._dir)

    def oom_kill_count(self) -> int:
        """See the protocol."""
        return fs.read_table(f"{self._dir}/memory.events").get("oom_kill", 0)

    def oom_fd(self) -> int:
        """See the protocol: an inotify descriptor."""
        try:
            return inotify(f"{self._dir}/memory.events", IN_MODIFY)
        except OSError:
            return -1

    def delete(self, *, timeout: float = 5.0) -> None:
        """See the protocol."""
        fs.remove([self._dir], timeout)


def _enable_down(top: str, parent: str) -> None:
    """Enable all controllers from ``top`` down to ``parent``, so that its children have them.

    What can't be enabled is left out: a limit that needs it fails later and names it.
    """
    group = top
    for part in ["", *parent[len(top) :].strip("/").split("/")]:
        group = f"{group}/{part}" if part else group
        missing = _missing(group)
        if not missing:
            continue
        file = f"{group}/cgroup.subtree_control"
        try:
            fs.write_raw(file, " ".join([f"+{name}" for name in missing]))
        except OSError:
            for name in missing:
                _try_write(file, f"+{name}")


def _missing(group: str) -> list[str]:
    enabled = fs.read_or(f"{group}/cgroup.subtree_control").split()
    offered = fs.read_or(f"{group}/cgroup.controllers").split()
    return [name for name in offered if name not in enabled]


def _try_write(file: str, value: str) -> None:
    try:
        fs.write_raw(file, value)
    except OSError:
        return
