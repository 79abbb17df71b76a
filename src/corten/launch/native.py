"""The Runtime protocol by ``corten.oci``, in the attendant's own process: what it uses up of
memory goes with the attendant."""

from __future__ import annotations

import os

from corten.cgroups import open_cgroup
from corten.errors import CortenError, FailedPrecondition, NotFound, Unimplemented
from corten.launch import config as configs
from corten.launch.bundle import shares_pid
from corten.launch.process import LocalProcess
from corten.oci import container
from corten.oci.plan import PlanOptions, compile_plan, compile_process
from corten.spec._struct import replace
from corten.spec.runtime import parse_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.cgroups.base import Cgroup
    from corten.launch.runtime import CreateRequest, Process, Streams
    from corten.launch.slumber import Bag
    from corten.oci.container import Created
    from corten.oci.plan import Plan, ProcessPlan


class NativeRuntime:
    """See ``runtime.Runtime``. The caller's mount namespace is the one that the container's is
    cloned from."""

    def __init__(self) -> None:
        self._request: CreateRequest | None = None
        self._process: ProcessPlan | None = None  # what execs take of the plan, once one did
        self._created: Created | None = None  # until the start
        self._bare = False  # all that a start takes is the order to init
        self._start_fd = -1  # of a bare one that an earlier attendant created
        self._init: LocalProcess | None = None
        self._cgroup: Cgroup | None = None
        self._oom_fd = -1
        self._mounts = -1  # the container's mount namespace, see _hold_mounts
        self._shared_pid = False
        self._poststop = False
        self.steps: list[tuple[str, int]] = []

    def create(self, request: CreateRequest, streams: Streams) -> Process:
        """See ``runtime.Runtime``."""
        self._request = request
        config = configs.load(request)
        plan = _plan(request, config)
        self._shared_pid = shares_pid(request, config)
        self._poststop = bool((config.get("hooks") or {}).get("poststop"))
        cgroup = self._cgroup = _cgroup(request)
        if cgroup is not None:
            cgroup.create()
            cgroup.apply(plan.resources)
        created = self._created = container.create(
            plan,
            stdio=_stdio(streams),
            console=streams.terminal,
            console_size=_size(streams),
            cgroup=cgroup,
            ns_fds=request.ns_fds,
            alone=True,
        )
        for fd in request.ns_fds.values():
            os.close(fd)
        self._bare = container.starts_barely(plan)
        self._oom_fd = _oom_fd(cgroup)
        self._mounts = _hold_mounts(created.pid)
        self.steps = created.steps
        self._init = LocalProcess(created.pid, created.pidfd, created.console_fd)
        return self._init

    def start(self) -> None:
        """See ``runtime.Runtime``."""
        created, self._created = self._created, None
        if created is not None:
            container.start(created)
        elif self._start_fd >= 0:
            fd, self._start_fd = self._start_fd, -1
            container.order_start(fd)
        else:
            raise FailedPrecondition("the container was started", step="start")

    def exec(self, exec_id: str, process: dict[str, Any], streams: Streams) -> Process:
        """See ``runtime.Runtime``."""
        assert self._request is not None and self._init is not None
        request, init = self._request, self._init
        if self._process is None:
            self._process = _process_plan(request, configs.load(request))
        started = container.exec_process(
            self._process,
            process,
            pid=init.pid,
            pidfd=init.fileno(),
            stdio=_stdio(streams),
            console=streams.terminal,
            console_size=_size(streams),
            cgroup=self._cgroup,
            alone=True,
            state={"id": request.id, "status": "running", "bundle": request.bundle},
        )
        return LocalProcess(started.pid, started.pidfd, started.console_fd)

    def kill(self, signal: int, *, all: bool = False) -> None:
        """See ``runtime.Runtime``."""
        if all and self._cgroup is not None:
            self._cgroup.kill(signal)
        elif self._init is not None:
            self._init.signal(signal)

    def resize(self, process: Process, rows: int, columns: int) -> None:
        """The monitor holds the terminal."""

    def pause(self) -> None:
        """See ``runtime.Runtime``."""
        self._group("pause").freeze()

    def resume(self) -> None:
        """See ``runtime.Runtime``."""
        self._group("resume").thaw()

    def update(self, resources: dict[str, Any]) -> None:
        """See ``runtime.Runtime``."""
        self._group("update").apply(resources)

    def stats(self) -> dict[str, Any]:
        """See ``runtime.Runtime``."""
        return self._group("stats").stats()

    def _group(self, step: str) -> Cgroup:
        if self._cgroup is None:
            raise NotFound("the container has no cgroup", step=step)
        return self._cgroup

    def events(self) -> dict[str, int]:
        """See ``runtime.Runtime``."""
        if self._oom_fd >= 0:
            try:
                os.read(self._oom_fd, 4096)
            except BlockingIOError:
                pass
        return {"oom": self._cgroup.oom_kill_count() if self._cgroup is not None else 0}

    def events_fd(self) -> int:
        """See ``runtime.Runtime``."""
        return self._oom_fd

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
        self._let_init_go()
        if self._oom_fd >= 0:
            os.close(self._oom_fd)
            self._oom_fd = -1
        try:
            if self._cgroup is not None:
                self._cgroup.kill(9)
                self._cgroup.delete()
        finally:
            self._run_poststop_hooks()

    def _let_init_go(self) -> None:
        """An init that waits for its start does not wait any more."""
        if self._created is not None:
            os.close(self._created.start_fd)
            self._created = None
        if self._start_fd >= 0:
            os.close(self._start_fd)
            self._start_fd = -1

    def _run_poststop_hooks(self) -> None:
        if not self._poststop or self._request is None:
            return
        self._poststop = False
        try:
            container.run_poststop_hooks(_plan(self._request, configs.load(self._request)))
        except CortenError:
            pass  # runtime.md, "Lifecycle" 13: a failure changes nothing

    def state(self) -> dict[str, Any]:
        """See ``runtime.Runtime``."""
        assert self._request is not None
        return {
            "ociVersion": "1.3.0",
            "id": self._request.id,
            "status": "running",
            "pid": self._init.pid if self._init is not None else 0,
            "bundle": self._request.bundle,
        }

    def features(self) -> dict[str, Any]:
        """Not offered here."""
        raise Unimplemented("features are printed by corten-oci", step="features")

    # --- sleep -------------------------------------------------------------------------

    def rest(self, bag: Bag) -> dict[str, Any] | None:
        """See ``slumber``."""
        if self._init is None or (self._created is not None and not self._bare):
            return None  # its start takes the plan
        start = self._created.start_fd if self._created is not None else self._start_fd
        return {
            "pid": self._init.pid,
            "init": bag.hold(self._init.fileno()),
            "oom": bag.watch(self._oom_fd),
            "start": bag.hold(start),
            "mounts": bag.hold(self._mounts),
            "shared_pid": self._shared_pid,
            "poststop": self._poststop,
        }

    def resume_from(self, state: dict[str, Any], bag: Bag, request: CreateRequest) -> Process:
        """Be what :meth:`rest` told of; the handle of init."""
        self._request = request
        self._cgroup = _cgroup(request)
        self._init = LocalProcess(int(state["pid"]), bag.take(state["init"]))
        self._oom_fd = bag.take(state["oom"])
        self._start_fd = bag.take(state["start"])
        self._mounts = bag.take(state["mounts"])
        self._shared_pid = bool(state["shared_pid"])
        self._poststop = bool(state["poststop"])
        return self._init


def _plan(request: CreateRequest, config: dict[str, Any]) -> Plan:
    program = configs.default_program(request, config)
    if program is None:
        config = configs.with_seccomp(request, config)
    options = PlanOptions(
        container_id=request.id, rootfs=request.rootfs, pivot=not request.no_pivot
    )
    plan = compile_plan(
        config, bundle=request.bundle, rootfs_mounts=request.rootfs_mounts, options=options
    )
    if program is None:
        return plan
    return replace(plan, process=replace(plan.process, seccomp=program))


def _process_plan(request: CreateRequest, config: dict[str, Any]) -> ProcessPlan:
    """Of the plan what an exec takes from it, in a third of the time."""
    program = configs.default_program(request, config)
    if program is None:
        config = configs.with_seccomp(request, config)
    profile = (config.get("linux") or {}).get("seccomp") if program is None else None
    plan = compile_process(parse_process(config["process"]), profile)
    return plan if program is None else replace(plan, seccomp=program)


def _cgroup(request: CreateRequest) -> Cgroup | None:
    if not request.cgroup:
        return None
    return open_cgroup(request.cgroup, kind="systemd" if request.systemd_cgroup else None)


def _oom_fd(cgroup: Cgroup | None) -> int:
    try:
        return cgroup.oom_fd() if cgroup is not None else -1
    except CortenError:
        return -1  # OOM kills are counted at the end then


def _hold_mounts(pid: int) -> int:
    """A descriptor of the container's mount namespace, for as long as we live. The last one to
    let go of it waits for an RCU grace period: were that init, the exit status would come about
    a millisecond later, on a busy machine tens of them. -1: it has ended."""
    try:
        return os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _stdio(streams: Streams) -> tuple[int, int, int] | None:
    return None if streams.terminal else (streams.stdin, streams.stdout, streams.stderr)


def _size(streams: Streams) -> tuple[int, int] | None:
    return streams.console_size if any(streams.console_size) else None
