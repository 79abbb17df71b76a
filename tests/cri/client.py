"""A kubelet's side of CRI for tests: calls by name, and the usual sequences of them."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc

from corten.cri.pb import cri_pb2 as pb
from tests.support import catches, eventually

IMAGE = "tools"
SHELL = ["/bin/busybox", "sh", "-c"]
_numbers = itertools.count(1)


class Cri:
    """Every method of the standard as an attribute: ``cri.Version(pb.VersionRequest())``."""

    def __init__(self, path: Path) -> None:
        self._target = f"unix:{path}"
        self._state = path.parent
        self._channel = self._connect()
        self._services = pb.DESCRIPTOR.services_by_name.values()

    def _connect(self) -> grpc.Channel:
        # With the usual pool, channels share connections, and how long to stay away after
        # a failure.
        return grpc.insecure_channel(self._target, [("grpc.use_local_subchannel_pool", 1)])

    def reconnect(self) -> None:
        """To a daemon that was started anew: the old channel may go on failing for a second."""
        self._channel.close()
        self._channel = self._connect()

    def __enter__(self) -> Cri:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()

    def __getattr__(self, name: str) -> Callable[[Any], Any]:
        for service in self._services:
            method = service.methods_by_name.get(name)
            if method is not None:
                return self._call(f"/{service.full_name}/{name}", method)
        raise AttributeError(name)

    def _call(self, path: str, method: Any) -> Callable[[Any], Any]:
        answer = getattr(pb, method.output_type.name).FromString
        if method.server_streaming:
            stream = self._channel.unary_stream(
                path, request_serializer=_bytes, response_deserializer=answer
            )
            return lambda request: list(stream(request, timeout=30))
        unary = self._channel.unary_unary(
            path, request_serializer=_bytes, response_deserializer=answer
        )
        return lambda request: unary(request, timeout=60)

    def begin(self, name: str, request: Any) -> Any:
        """Call without waiting; the answer is a future."""
        for service in self._services:
            method = service.methods_by_name.get(name)
            if method is not None:
                unary = self._channel.unary_unary(
                    f"/{service.full_name}/{name}",
                    request_serializer=_bytes,
                    response_deserializer=getattr(pb, method.output_type.name).FromString,
                )
                return unary.future(request)
        raise AttributeError(name)

    # sequences -----------------------------------------------------------------------------
    def run_pod(self, name: str, *, pid: Any = pb.CONTAINER, **fields: Any) -> Pod:
        """A pod with a uid of its own; the fields are those of PodSandboxConfig.

        Arguments:
            pid: CONTAINER is what the kubelet sends where a pod says nothing.
        """
        if "linux" not in fields:
            fields["linux"] = linux(pid=pid)
        metadata = pb.PodSandboxMetadata(name=name, namespace="test", uid=f"uid-{next(_numbers)}")
        config = pb.PodSandboxConfig(metadata=metadata, **{"hostname": name, **fields})
        answer = self.RunPodSandbox(pb.RunPodSandboxRequest(config=config))
        return Pod(self, answer.pod_sandbox_id, config)

    def remove_all(self) -> None:
        for item in self.ListPodSandbox(pb.ListPodSandboxRequest()).items:
            self.StopPodSandbox(pb.StopPodSandboxRequest(pod_sandbox_id=item.id))
            self.RemovePodSandbox(pb.RemovePodSandboxRequest(pod_sandbox_id=item.id))

    def exec(self, container: str, *command: str, timeout: int = 10) -> pb.ExecSyncResponse:
        """ExecSync of a command of busybox."""
        request = pb.ExecSyncRequest(
            container_id=container, cmd=["/bin/busybox", *command], timeout=timeout
        )
        answer: pb.ExecSyncResponse = self.ExecSync(request)
        return answer

    def output(self, container: str, *command: str) -> str:
        """What a command of busybox prints; it has to succeed."""
        done = self.exec(container, *command)
        assert done.exit_code == 0, done
        return done.stdout.decode().strip()

    def status(self, container: str) -> pb.ContainerStatus:
        request = pb.ContainerStatusRequest(container_id=container)
        found: pb.ContainerStatus = self.ContainerStatus(request).status
        return found

    def pid(self, container: str) -> int:
        """Its first process, as its monitor has it."""
        from corten.launch.client import read_state

        state = read_state(str(self._state / "run" / container))
        assert state is not None
        return state.pid

    def wait(self, container: str) -> pb.ContainerStatus:
        """Its status, once it has ended."""

        def ended() -> pb.ContainerStatus | None:
            found = self.status(container)
            return found if found.state == pb.CONTAINER_EXITED else None

        found = eventually(ended, what=f"container {container[:12]} ends")
        assert found is not None
        return found


def linux(**options: Any) -> pb.LinuxPodSandboxConfig:
    """The Linux part of a pod with these namespace options."""
    option = pb.NamespaceOption(**options)
    context = pb.LinuxSandboxSecurityContext(namespace_options=option)
    return pb.LinuxPodSandboxConfig(security_context=context)


class Pod:
    """A pod of a test."""

    def __init__(self, cri: Cri, pod_id: str, config: pb.PodSandboxConfig) -> None:
        self.cri = cri
        self.id = pod_id
        self.config = config

    def status(self) -> pb.PodSandboxStatus:
        request = pb.PodSandboxStatusRequest(pod_sandbox_id=self.id)
        found: pb.PodSandboxStatus = self.cri.PodSandboxStatus(request).status
        return found

    @property
    def ip(self) -> str:
        return self.status().network.ip

    def container_config(self, name: str, *command: str, **fields: Any) -> pb.ContainerConfig:
        return pb.ContainerConfig(
            metadata=pb.ContainerMetadata(name=name),
            image=pb.ImageSpec(image=IMAGE),
            command=command,
            log_path=f"{name}.log",
            **fields,
        )

    def create(self, name: str, *command: str, **fields: Any) -> str:
        """A container; the fields are those of ContainerConfig."""
        request = pb.CreateContainerRequest(
            pod_sandbox_id=self.id,
            config=self.container_config(name, *command, **fields),
            sandbox_config=self.config,
        )
        answer: str = self.cri.CreateContainer(request).container_id
        return answer

    def run(self, name: str, *command: str, **fields: Any) -> str:
        """A container that was started."""
        made = self.create(name, *command, **fields)
        self.cri.StartContainer(pb.StartContainerRequest(container_id=made))
        return made

    def sleeper(self, name: str = "sleeper", **fields: Any) -> str:
        """A container that stays, and ends at SIGTERM."""
        made = self.run(name, *SHELL, "trap 'exit 0' TERM; sleep 1000 & wait", **fields)
        eventually(lambda: _hears(self.cri.pid(made)), what="the shell's trap is set")
        return made


def _hears(pid: int) -> bool:
    """Whether a sleeper's trap is set, or it has ended, which is another's to notice."""
    try:
        return catches(pid, signal.SIGTERM)
    except OSError:
        return True


def _bytes(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data
