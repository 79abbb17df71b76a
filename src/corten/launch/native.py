"""The Runtime protocol by ``corten.oci`` in this very process."""

from __future__ import annotations

import os

from corten.cgroups import open_cgroup
from corten.errors import CortenError, NotFound, Unimplemented
from corten.launch.bundle import shares_pid
from corten.launch.process import LocalProcess
from corten.oci import container
from corten.oci.plan import PlanOptions, compile_plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.cgroups.base import Cgroup
    from corten.launch.runtime import CreateRequest, Process, Streams


class NativeRuntime:
    """See ``runtime.Runtime``."""

    def __init__(self, host_mount_ns: int) -> None:
        """``host_mount_ns``: descriptor of the mount namespace that the container's is cloned
        from, kept open."""
        self._host = host_mount_ns
        self._created: container.Created | None = None
        self._plan: Any = None
        self._cgroup: Cgroup | None = None
        self._oom_fd = -1
        self._shared_pid = False

    def create(self, request: CreateRequest, streams: Streams) -> Process:
        """See ``runtime.Runtime``."""
        options = PlanOptions(
            container_id=request.id,
            host_mount_ns=self._host,
            rootfs=request.rootfs,
            pivot=not request.no_pivot,
        )
        self._plan = compile_plan(
            request.config,
            bundle=request.bundle,
            rootfs_mounts=request.rootfs_mounts,
            options=options,
        )
        self._shared_pid = shares_pid(request)
        self._make_cgroup(request)
        created = self._created = container.create(
            self._plan,
            stdio=None if streams.terminal else (streams.stdin, streams.stdout, streams.stderr),
            console=streams.terminal,
            console_size=streams.console_size if any(streams.console_size) else None,
            cgroup=self._cgroup,
            ns_fds=request.ns_fds,
        )
        for fd in request.ns_fds.values():
            os.close(fd)
        self._watch_oom()
        return LocalProcess(created.pid, created.pidfd, created.console_fd)

    def _make_cgroup(self, request: CreateRequest) -> None:
        if not request.cgroup:
            return
        kind = "systemd" if request.systemd_cgroup else None
        self._cgroup = open_cgroup(request.cgroup, kind=kind)
        self._cgroup.create()
        self._cgroup.apply(self._plan.resources)

    def _watch_oom(self) -> None:
        if self._cgroup is not None:
            try:
                self._oom_fd = self._cgroup.oom_fd()
            except CortenError:
                self._oom_fd = -1  # then OOM kills are counted at the end

    def start(self) -> None:
        """See ``runtime.Runtime``."""
        assert self._created is not None
        container.start(self._created)

    def exec(self, exec_id: str, process: dict[str, Any], streams: Streams) -> Process:
        """See ``runtime.Runtime``."""
        assert self._created is not None
        started = container.exec_process(
            self._plan,
            process,
            pid=self._created.pid,
            pidfd=self._created.pidfd,
            stdio=None if streams.terminal else (streams.stdin, streams.stdout, streams.stderr),
            console=streams.terminal,
            console_size=streams.console_size if any(streams.console_size) else None,
            cgroup=self._cgroup,
        )
        return LocalProcess(started.pid, started.pidfd, started.console_fd)

    def kill(self, signal: int, *, all: bool = False) -> None:
        """See ``runtime.Runtime``."""
        assert self._created is not None
        if all and self._cgroup is not None:
            self._cgroup.kill(signal)
            return
        LocalProcess(self._created.pid, self._created.pidfd).signal(signal)

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
        if self._oom_fd >= 0:
            os.close(self._oom_fd)
            self._oom_fd = -1
        plan, self._plan = self._plan, None
        if self._cgroup is not None:
            self._cgroup.kill(9)
            self._cgroup.delete()
        if plan is not None and self._created is not None:
            container.run_poststop_hooks(plan)

    def state(self) -> dict[str, Any]:
        """See ``runtime.Runtime``."""
        pid = self._created.pid if self._created is not None else 0
        return container.state(self._plan, "running", pid)

    def features(self) -> dict[str, Any]:
        """Not offered yet."""
        raise Unimplemented("features are printed by corten-oci", step="features")

    @property
    def steps(self) -> list[tuple[str, int]]:
        """See ``runtime.Runtime``."""
        return self._created.steps if self._created is not None else []
