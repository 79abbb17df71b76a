"""One cgroup in all hierarchies of v1 (a hybrid host's unused v2 tree is left alone)."""

from __future__ import annotations

import posix
import time

from corten.cgroups import fs, settings_v1, signalling
from corten.cgroups.detect import Hierarchies, checked, hierarchies
from corten.cgroups.devices import normalise
from corten.cgroups.settings import check_before_update, member, write_all
from corten.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument
from corten.kernel import paths as fs_paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.cgroups.base import Kind
    from corten.cgroups.settings import Setting

# Where processes are looked for: the first of these that is mounted, else any.
_PROCESSES = ("freezer", "pids", "memory", "name=systemd")


class V1Cgroup:
    """The protocol :class:`corten.cgroups.base.Cgroup` on v1.

    Arguments:
        path: absolute below the top of each hierarchy.
        where: the hierarchies; the host's if None.
    """

    def __init__(self, path: str, where: Hierarchies | None = None) -> None:
        where = where or hierarchies()
        self.path = checked(path)
        self.kind: Kind = "hybrid" if where.kind == "hybrid" else "v1"
        self._tops = where.mounts
        self._dirs = {name: top + self.path for name, top in where.mounts.items()}
        # a foreign runtime may have made its group in a hybrid host's v2 tree as well
        self._foreign = [where.unified + self.path] if where.unified else []
        # controllers that are mounted together share a directory
        self._unique = {self._dirs[name]: top for name, top in where.mounts.items()}

    def create(self, *, exclusive: bool = False) -> None:
        """See the protocol."""
        if exclusive and (pids := self.pids()):
            raise FailedPrecondition(
                f"cgroup holds processes already: {pids[:8]}",
                step="create cgroup",
                path=self._processes(),
            )
        made: list[str] = []
        try:
            for directory, top in self._unique.items():
                new = fs.make(directory, top)
                made.extend(new)
                if new and directory == self._dirs.get("cpuset"):
                    _inherit_cpuset([*_without_cpus(fs_paths.parent(new[0]), top), *new])
        except BaseException:
            fs.unmake(made)
            raise

    def apply(self, resources: dict[str, Any]) -> None:
        """See the protocol."""
        plan = settings_v1.plan(resources)
        usage = f"{self._dirs.get('memory', '')}/memory.usage_in_bytes"
        check_before_update(member(resources, "memory"), usage)
        if resources.get("devices") is not None:
            self._apply_devices(resources["devices"])
        write_all(plan, self._directory)

    def _directory(self, setting: Setting) -> str:
        directory = self._dirs.get(setting.controller)
        if directory is None:
            raise FailedPrecondition(
                f"{setting.asked} = {setting.value} can't be set: "
                f"the cgroup controller {setting.controller} is not mounted",
                step="cgroup",
                path=setting.file,
                hint=f"mount it: mount -t cgroup -o {setting.controller} none DIRECTORY",
            )
        return directory

    def _apply_devices(self, rules: list[dict[str, Any]]) -> None:
        if not rules:
            return
        policy = normalise(rules)
        directory = self._dirs.get("devices")
        if directory is None:
            raise FailedPrecondition(
                "device rules can't be set: the cgroup controller devices is not mounted",
                step="cgroup",
                path="devices.allow",
            )
        default, other = "devices.deny", "devices.allow"
        if policy.allow:
            default, other = other, default
        fs.write(f"{directory}/{default}", "a")
        if not policy.exceptions:
            return
        file = f"{directory}/{other}"
        fd = posix.open(file, posix.O_WRONLY | posix.O_CLOEXEC)
        try:
            for item in policy.exceptions:
                line = item.text()
                try:
                    posix.write(fd, line.encode())
                except OSError as error:
                    raise fs.failed(error, file, line) from None
        finally:
            posix.close(fd)

    def join_files(self) -> list[int]:
        """See the protocol. ``tasks`` and not ``cgroup.procs``: the latter waits for RCU."""
        fds: list[int] = []
        try:
            for path in [f"{directory}/tasks" for directory in self._unique]:
                fds.append(posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC))
        except OSError as error:
            for fd in fds:
                posix.close(fd)
            raise fs.failed(error, path) from None
        return fds

    def dir_fd(self, *, beside: int = 0) -> int:
        """See the protocol."""
        return -1

    def redirected(self, paths: dict[str, str]) -> V1Cgroup:
        """The same group, but for some controllers another one that exists.

        Arguments:
            paths: path by controller; ``""`` for all others.
        Raises:
            InvalidArgument: no such controller, or no such group.
        """
        group = V1Cgroup(self.path)
        others = paths.get("")
        for name in group._dirs:
            path = paths.get(name, others)
            if path is not None:
                group._dirs[name] = self._tops[name] + checked(path)
                if not fs_paths.is_directory(group._dirs[name]):
                    raise InvalidArgument(
                        "adding pid to cgroup: no such file or directory", path=group._dirs[name]
                    )
        for name in paths:
            if name and name not in group._dirs:
                raise InvalidArgument(f"unknown controller {name} in --cgroup")
        group._unique = {path: self._tops[name] for name, path in group._dirs.items()}
        return group

    def redirected_where_there(self, path: str) -> V1Cgroup:
        """The same group, but another one in those hierarchies that have it."""
        checked(path)
        there = [n for n, top in self._tops.items() if fs_paths.is_directory(top + path)]
        return self.redirected(dict.fromkeys(there, path))

    def joined(self) -> None:
        """See the protocol; nothing to do."""

    def add_process(self, pid: int) -> None:
        """See the protocol."""
        for directory in self._unique:
            fs.write(f"{directory}/cgroup.procs", str(pid))

    def pids(self) -> list[int]:
        """See the protocol."""
        return fs.pids_in(self._processes())

    def _processes(self) -> str:
        for name in _PROCESSES:
            if name in self._dirs:
                return self._dirs[name]
        return next(iter(self._unique))

    def exists(self) -> bool:
        """See the protocol."""
        return any([fs_paths.is_directory(directory) for directory in self._unique])

    def _freezer(self) -> str:
        directory = self._dirs.get("freezer")
        if directory is None:
            raise FailedPrecondition(
                "the cgroup controller freezer is not mounted", step="freeze", path="freezer.state"
            )
        return f"{directory}/freezer.state"

    def freeze(self, *, timeout: float = 10.0) -> None:
        """See the protocol."""
        try:
            self._set_state("FROZEN", timeout)
        except DeadlineExceeded:
            fs.write(self._freezer(), "THAWED")
            raise

    def thaw(self, *, timeout: float = 10.0) -> None:
        """See the protocol."""
        self._set_state("THAWED", timeout)

    def _set_state(self, state: str, timeout: float) -> None:
        file = self._freezer()
        end = time.monotonic() + timeout
        pause = 0.0002
        while True:
            # written again each time: a process that came meanwhile keeps the group FREEZING
            fs.write(file, state)
            if fs.read_or(file, state) == state:
                return
            if time.monotonic() > end:
                raise DeadlineExceeded(
                    f"cgroup did not become {state} within {timeout:g} s",
                    step="freeze",
                    path=file,
                    hint="a process inside sleeps uninterruptibly (ps shows D)",
                )
            time.sleep(pause)
            pause = min(pause * 2, 0.02)

    def frozen(self) -> bool:
        """See the protocol."""
        if "freezer" not in self._dirs:
            return False
        return fs.read_or(self._freezer(), "THAWED") != "THAWED"

    def kill(self, signal: int = 9) -> None:
        """See the protocol."""
        # a frozen process of v1 dies only when it is thawed
        signalling.signal_all(self, signal, thaw_for=signal == 9)

    def stats(self) -> dict[str, Any]:
        """See the protocol."""
        from corten.cgroups import stats_v1  # read by few processes

        return stats_v1.read(self._dirs)

    def details(self) -> dict[str, Any]:
        """More counters, for who asks for all."""
        from corten.cgroups import stats_v1

        return stats_v1.details(self._dirs)

    def oom_kill_count(self) -> int:
        """See the protocol."""
        if "memory" not in self._dirs:
            return 0
        return fs.read_table(f"{self._dirs['memory']}/memory.oom_control").get("oom_kill", 0)

    def oom_fd(self) -> int:
        """See the protocol: an eventfd that ``cgroup.event_control`` was told of."""
        directory = self._dirs.get("memory", "")
        event = posix.eventfd(0, posix.EFD_CLOEXEC | posix.EFD_NONBLOCK)
        try:
            control = posix.open(
                f"{directory}/memory.oom_control", posix.O_RDONLY | posix.O_CLOEXEC
            )
            try:
                fs.write_raw(f"{directory}/cgroup.event_control", f"{event} {control}")
            finally:
                posix.close(control)
        except OSError:
            posix.close(event)
            return -1
        return event

    def delete(self, *, timeout: float = 5.0) -> None:
        """See the protocol."""
        fs.remove([*self._unique, *self._foreign], timeout)


def thaw_process(pid: int) -> None:
    """Thaw the group that somebody moved a process to: frozen there, it can't be killed."""
    top = hierarchies().mounts.get("freezer")
    for line in fs.read_or(f"/proc/{pid}/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if top is not None and "freezer" in controllers.split(",") and path != "/":
            fs.write(f"{top}{path}/freezer.state", "THAWED")


def _without_cpus(directory: str, top: str) -> list[str]:
    """Groups from the top down to ``directory`` that somebody made and gave no processors."""
    found: list[str] = []
    while directory != top and not fs.read_or(f"{directory}/cpuset.cpus"):
        found.insert(0, directory)
        directory = fs_paths.parent(directory)
    return found


def _inherit_cpuset(made: list[str]) -> None:
    """Give new groups their parents' processors and memory nodes: empty, they accept no task.

    Inner groups are told to have the kernel do it for those that come later: a write to
    ``cpuset.cpus`` takes it 0.1 ms, a copy at birth nothing.
    """
    for directory in made:
        parent = fs_paths.parent(directory)
        for name in ("cpuset.cpus", "cpuset.mems"):
            if not fs.read_or(f"{directory}/{name}"):
                fs.write(f"{directory}/{name}", fs.read_or(f"{parent}/{name}"))
        if directory != made[-1]:
            fs.write(f"{directory}/cgroup.clone_children", "1")
