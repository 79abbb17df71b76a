"""The Runtime protocol by ``corten.oci``: its work is done in forks of the monitor."""

from __future__ import annotations

import os

from corten.cgroups import open_cgroup
from corten.errors import CortenError, FailedPrecondition, NotFound, Unimplemented
from corten.launch import nativework
from corten.launch.process import LocalProcess
from corten.launch.worker import Worker
from corten.oci.container import order_start

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
        self._request: CreateRequest | None = None
        self._worker: Worker | None = None
        self._init: LocalProcess | None = None
        self._cgroup: Cgroup | None = None
        self._oom_fd = -1
        self._start_fd = -1
        self._shared_pid = False
        self._poststop = False
        self.steps: list[tuple[str, int]] = []

    def prepare(self, request: CreateRequest) -> None:
        """Begin to plan, beside whatever the caller does before :meth:`create`. Nothing is
        made before that."""
        host = self._host
        self._request = request
        self._worker = Worker(
            lambda channel: nativework.create(channel, request, host),
            keep=[host, request.config_fd, request.lock_fd, *request.ns_fds.values()],
            step="create",
        )

    def create(self, request: CreateRequest, streams: Streams) -> Process:
        """See ``runtime.Runtime``."""
        if self._worker is None:
            self.prepare(request)
        worker = self._worker
        assert worker is not None
        if request.cgroup:
            kind = "systemd" if request.systemd_cgroup else None
            self._cgroup = open_cgroup(request.cgroup, kind=kind)
        worker.send(
            "go",
            *_ends(streams),
            terminal=streams.terminal,
            console_size=streams.console_size,
        )
        message, fds = worker.receive()
        for fd in request.ns_fds.values():
            os.close(fd)
        self._shared_pid = bool(message["shared_pid"])
        self._poststop = bool(message["poststop"])
        self.steps = [(str(name), int(us)) for name, us in message["steps"]]
        pidfd = fds.pop(0)
        console = fds.pop(0) if message["console"] else -1
        self._oom_fd = fds.pop(0) if message["oom"] else -1
        if fds:  # nothing is left for the worker to do
            self._start_fd = fds.pop(0)
            self._end_worker()
        self._init = LocalProcess(int(message["pid"]), pidfd, console)
        return self._init

    def start(self) -> None:
        """See ``runtime.Runtime``."""
        if self._start_fd >= 0:
            fd, self._start_fd = self._start_fd, -1
            order_start(fd)
            return
        worker, self._worker = self._worker, None
        if worker is None:
            raise FailedPrecondition("the container was started", step="start")
        try:
            worker.send("start")
            worker.receive()
        finally:
            worker.close()

    def exec(self, exec_id: str, process: dict[str, Any], streams: Streams) -> Process:
        """See ``runtime.Runtime``."""
        assert self._request is not None and self._init is not None
        request, init = self._request, self._init
        worker = Worker(
            lambda channel: nativework.exec(channel, request, init, process, streams),
            keep=[request.config_fd, request.lock_fd, init.fileno(), *_ends(streams)],
            step="exec",
        )
        try:
            message, fds = worker.receive()
        finally:
            worker.close()
        return LocalProcess(int(message["pid"]), fds[0], fds[1] if len(fds) > 1 else -1)

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

    def abandon(self) -> None:
        """See ``runtime.Runtime``."""
        self._end_worker()
        if self._start_fd >= 0:
            os.close(self._start_fd)
            self._start_fd = -1

    def _end_worker(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def checkpoint(self, path: str) -> None:
        """Not offered yet."""
        raise Unimplemented("checkpoint is not offered yet", step="checkpoint", path=path)

    def restore(self, path: str) -> None:
        """Not offered yet."""
        raise Unimplemented("restore is not offered yet", step="restore", path=path)

    def delete(self) -> None:
        """See ``runtime.Runtime``."""
        self.abandon()
        if self._oom_fd >= 0:
            os.close(self._oom_fd)
            self._oom_fd = -1
        try:
            if self._cgroup is not None:
                self._cgroup.kill(9)
                self._cgroup.delete()
        finally:
            self._run_poststop_hooks()

    def _run_poststop_hooks(self) -> None:
        if not self._poststop or self._request is None:
            return
        self._poststop = False
        request = self._request
        worker = Worker(
            lambda channel: nativework.poststop(channel, request),
            keep=[request.config_fd],
            step="poststop hooks",
        )
        try:
            worker.receive()
        except CortenError:
            pass  # runtime.md, "Lifecycle" 13: a failure changes nothing
        finally:
            worker.close()

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


def _ends(streams: Streams) -> list[int]:
    return [fd for fd in (streams.stdin, streams.stdout, streams.stderr) if fd >= 0]
