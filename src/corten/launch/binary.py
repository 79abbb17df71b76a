"""The Runtime protocol by the program of an OCI runtime: runc, crun, runsc and their like.

Bundle and root file system are made in the monitor's own mount namespace, a slave of the
host's: nothing is seen outside, and everything goes with the monitor. The runtime's
orphans (init, detached execs) become the monitor's children: it is a subreaper.
"""

from __future__ import annotations

import os

from corten.cgroups import open_cgroup
from corten.errors import CortenError, NotFound, Unimplemented
from corten.kernel.process import pidfd_open
from corten.launch import bundle
from corten.launch import config as configs
from corten.launch.binarylog import failure
from corten.launch.console import ConsoleSocket
from corten.launch.process import LocalProcess
from corten.spec.jsonlite import dumpb, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.cgroups.base import Cgroup
    from corten.launch.messages import RuntimeChoice
    from corten.launch.runtime import CreateRequest, Process, Streams
    from corten.launch.slumber import Bag

_IGNORED = (1, 2, 3, 10, 12, 13, 15)  # signals the monitor ignores, and programs must not


class BinaryRuntime:
    """See ``runtime.Runtime``."""

    def __init__(self, choice: RuntimeChoice, run_dir: str) -> None:
        self._program = choice.path
        self._root = choice.root or f"{run_dir}/runtime"
        self._global = choice.args
        self._dir = run_dir
        self._log = f"{run_dir}/runtime.log"
        self._id = ""
        self._cgroup: Cgroup | None = None
        self._rootfs = -1
        self._init: LocalProcess | None = None
        self._made = False
        self._shared_pid = False
        self.steps: list[tuple[str, int]] = []

    def create(self, request: CreateRequest, streams: Streams) -> Process:
        """See ``runtime.Runtime``."""
        self._id = request.id
        if request.cgroup:
            kind = "systemd" if request.systemd_cgroup else None
            self._cgroup = open_cgroup(request.cgroup, kind=kind)
        if request.systemd_cgroup:
            self._global = (*self._global, "--systemd-cgroup")
        config = configs.with_seccomp(request, configs.load(request))
        directory, self._rootfs = bundle.prepare(request, config, streams.console_size)
        self._shared_pid = bundle.shares_pid(request, config)
        self._made = True
        command = ["create", "--bundle", directory]
        if request.no_pivot:
            command.append("--no-pivot")
        self._init = self._spawn_process(command, [self._id], streams, f"{self._dir}/init.pid")
        return self._init

    def start(self) -> None:
        """See ``runtime.Runtime``."""
        self._call("start", self._id)

    def exec(self, exec_id: str, process: dict[str, Any], streams: Streams) -> Process:
        """See ``runtime.Runtime``."""
        document = bundle.resolved_process(process, self._rootfs, streams.console_size)
        path = f"{self._dir}/exec-{exec_id}.json"
        pid_file = f"{self._dir}/exec-{exec_id}.pid"
        bundle.write_file(path, dumpb(document))
        try:
            command = ["exec", "--detach", "--process", path]
            return self._spawn_process(command, [self._id], streams, pid_file)
        finally:
            for name in (path, pid_file):
                _unlink(name)

    def kill(self, signal: int, *, all: bool = False) -> None:
        """See ``runtime.Runtime``."""
        if signal == 9 and all:
            self._kill_surely()
            return
        command = ["kill", "--all"] if all and self._shared_pid else ["kill"]
        self._call(*command, self._id, str(signal))

    def _kill_surely(self) -> None:
        """By every way there is: a runtime may refuse in a state of its own (runsc before the
        start), and the first way may be quicker than its word for the second."""
        if self._cgroup is not None:
            self._cgroup.kill(9)
        for way in (lambda: self._call("kill", self._id, "9"), self._kill_init):
            try:
                way()
            except CortenError:
                continue  # it has ended, or the other way ends it

    def _kill_init(self) -> None:
        if self._init is not None:
            self._init.signal(9)

    def resize(self, process: Process, rows: int, columns: int) -> None:
        """The monitor holds the terminal."""

    def pause(self) -> None:
        """See ``runtime.Runtime``."""
        self._call("pause", self._id)

    def resume(self) -> None:
        """See ``runtime.Runtime``."""
        self._call("resume", self._id)

    def update(self, resources: dict[str, Any]) -> None:
        """See ``runtime.Runtime``."""
        path = f"{self._dir}/update.json"
        bundle.write_file(path, dumpb(resources))
        try:
            self._call("update", "--resources", path, self._id)
        finally:
            _unlink(path)

    def stats(self) -> dict[str, Any]:
        """See ``runtime.Runtime``."""
        return self._cgroup.stats() if self._cgroup is not None else {}

    def events(self) -> dict[str, int]:
        """See ``runtime.Runtime``."""
        return {"oom": self._cgroup.oom_kill_count() if self._cgroup is not None else 0}

    def events_fd(self) -> int:
        """The monitor asks at the end."""
        return -1

    def init_ended(self) -> None:
        """See ``runtime.Runtime``."""
        if self._shared_pid and self._cgroup is not None:
            self._cgroup.kill(9)

    def checkpoint(self, path: str) -> None:
        """Not offered yet."""
        raise Unimplemented("checkpoint is not offered yet", step="checkpoint", path=path)

    def restore(self, path: str) -> None:
        """Not offered yet."""
        raise Unimplemented("restore is not offered yet", step="restore", path=path)

    def delete(self) -> None:
        """See ``runtime.Runtime``."""
        if not self._made:
            return
        self._made = False
        self._init = None
        try:
            self._call("delete", "--force", self._id)
        except NotFound:
            pass
        finally:
            if self._cgroup is not None:
                self._cgroup.kill(9)
                self._cgroup.delete()
            if self._rootfs >= 0:
                os.close(self._rootfs)
                self._rootfs = -1

    def rest(self, bag: Bag) -> None:
        """Never: the bundle is mounted in our own namespace."""

    def resume_from(self, state: dict[str, Any], bag: Bag, request: CreateRequest) -> Process:
        """See :meth:`rest`."""
        raise Unimplemented("a runtime's program is not left alone", step="resume")

    def forget(self, container_id: str) -> None:
        """Have the runtime remove a container of a monitor that was killed."""
        self._call("delete", "--force", container_id)

    def state(self) -> dict[str, Any]:
        """See ``runtime.Runtime``."""
        state: dict[str, Any] = loads(self._call("state", self._id), what="the runtime's state")
        return state

    def features(self) -> dict[str, Any]:
        """See ``runtime.Runtime``."""
        features: dict[str, Any] = loads(self._call("features"), what="the runtime's features")
        return features

    # --- running the program -----------------------------------------------------------

    def _spawn_process(
        self, command: list[str], last: list[str], streams: Streams, pid_file: str
    ) -> LocalProcess:
        command = [*command, "--pid-file", pid_file]
        stdio = (streams.stdin, streams.stdout, streams.stderr)
        console = None
        if streams.terminal:
            console = ConsoleSocket(self._dir)
            command += ["--console-socket", console.path]
            stdio = (-1, -1, -1)
        try:
            self._run([*command, *last], stdio)
            pid = int(bundle.read_file(pid_file))
            return LocalProcess(pid, pidfd_open(pid), console.receive() if console else -1)
        finally:
            if console is not None:
                console.close()

    def _call(self, *command: str) -> bytes:
        """Run to the end; what it printed."""
        fd = os.memfd_create("corten-output", os.MFD_CLOEXEC)
        try:
            self._run(list(command), (-1, fd, -1))
            return os.pread(fd, os.fstat(fd).st_size, 0)
        finally:
            os.close(fd)

    def _run(self, command: list[str], stdio: tuple[int, int, int]) -> None:
        """Run the program; its error as one of ours.

        Its own standard error is not the container's: a message of the runtime would be a
        line in the container's log. So ``create`` and ``exec`` get the container's streams,
        everything else none.
        """
        bundle.write_file(self._log, b"")
        argv = [self._program, "--root", self._root, "--log", self._log, "--log-format", "json"]
        argv += [*self._global, *command]
        actions: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0)]
        actions += [(os.POSIX_SPAWN_DUP2, 0, 1), (os.POSIX_SPAWN_DUP2, 0, 2)]
        actions += [(os.POSIX_SPAWN_DUP2, fd, n) for n, fd in enumerate(stdio) if fd >= 0]
        try:
            pid = os.posix_spawn(
                self._program, argv, _ENVIRONMENT, file_actions=actions, setsigdef=_IGNORED
            )
        except OSError as error:
            raise _missing(self._program, error) from None
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code != 0:
            raise failure(command[0], code, bundle.read_file(self._log))


def _missing(program: str, error: OSError) -> CortenError:
    return NotFound(
        f"the runtime can't be executed: {error.strerror}",
        step="runtime",
        path=program,
        errno=error.errno or 0,
        hint="install it, or correct its path in config.toml",
    )


_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
