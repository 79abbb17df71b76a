"""What a container shares with its pod or with another container."""

from __future__ import annotations

import os
from contextlib import ExitStack

from corten.engine import etcfiles, states
from corten.engine.parts import Parts
from corten.engine.specgen.namespaces import joined
from corten.engine.types import Container
from corten.errors import FailedPrecondition, NotFound
from corten.launch.messages import Namespaces

_PROC_NAMES = {"network": "net", "pid": "pid", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup"}


class Joiner:
    """Namespaces, files and groups that are somebody else's."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def descriptors(self, record: Container, held: ExitStack) -> dict[str, int]:
        """Namespaces to join by type; ``held`` closes them.

        Raises:
            FailedPrecondition: the other one does not run.
        """
        found: dict[str, int] = {}
        wanted = joined(record.config.namespaces)
        if "pod" in wanted.values():
            spaces = await self._of_pod(record, held)
            for kind, mode in wanted.items():
                if mode == "pod":
                    found[kind] = spaces[kind]
        for kind, mode in wanted.items():
            if mode != "pod":
                found[kind] = self._of_container(record, kind, mode.removeprefix("container:"))
                held.callback(os.close, found[kind])
        return found

    async def _of_pod(self, record: Container, held: ExitStack) -> dict[str, int]:
        monitor = self._parts.pod_monitors.get(record.pod_id)
        if monitor is None:
            raise FailedPrecondition(f"pod {record.pod_id} is not ready")
        try:
            reply = await monitor.call_fds(Namespaces())
        except NotFound:
            raise FailedPrecondition(f"pod {record.pod_id} is not ready") from None
        held.callback(reply.close_fds)
        return {name.removeprefix("ns."): fd for name, fd in reply.fds.items()}

    def _of_container(self, record: Container, kind: str, ref: str) -> int:
        other = self._parts.view.container(record.tenant, ref)
        if not states.is_running(other) or not other.state.pid:
            raise FailedPrecondition(
                f"cannot join the {kind} namespace of a non running container: {other.name}"
            )
        try:
            return os.open(
                f"/proc/{other.state.pid}/ns/{_PROC_NAMES[kind]}", os.O_RDONLY | os.O_CLOEXEC
            )
        except OSError as error:
            raise FailedPrecondition(
                f"cannot join the {kind} namespace of {other.name}: {error.strerror}"
            ) from None

    def files(self, record: Container) -> tuple[tuple[str, str], ...]:
        """The files that are bound at /etc: the container's own, its pod's, or those of the
        container whose network it shares."""
        if record.pod_id:
            return etcfiles.paths(self._parts.settings.pod_files(record.pod_id)).binds()
        mode = record.config.namespaces.network
        owner = record
        if mode.startswith("container:"):
            owner = self._parts.view.container(record.tenant, mode.removeprefix("container:"))
        return etcfiles.paths(self._parts.settings.container_dir(owner.id)).binds()

    def shm(self, record: Container) -> str:
        """The directory that becomes /dev/shm; empty: a file system of the container's own."""
        mode = record.config.namespaces.ipc
        if mode == "host":
            return "/dev/shm"
        return f"{self._parts.settings.pod_files(record.pod_id)}/shm" if mode == "pod" else ""

    def monitor_cgroup(self, record: Container) -> str:
        """Where the monitor lives: a pod's beside the pod's containers."""
        pod = self._parts.view.pods.get(record.pod_id)
        if pod is None:
            return ""
        return self._parts.settings.pod_monitors_cgroup(pod.id, pod.config.cgroup_parent)
