"""RunPodSandbox + CreateContainer + StartContainer over the CRI, against containerd."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.image import NAME
from bench.peers import Peers, output
from bench.sampling import Row, milliseconds
from corten.cri.pb import cri_pb2 as pb
from tests.cri.client import Cri


class Kubelet:
    """As much of a kubelet as the figure needs."""

    def __init__(self, socket: str, logs: str) -> None:
        self.cri = Cri(Path(socket))
        self.logs = logs
        self.numbers = itertools.count()
        self.cri.PullImage(pb.PullImageRequest(image=pb.ImageSpec(image=NAME)))

    def start(self) -> tuple[str, float]:
        """(pod id, milliseconds until its container runs)."""
        number = next(self.numbers)
        config = pb.PodSandboxConfig(
            metadata=pb.PodSandboxMetadata(name=f"pod{number}", uid=f"uid{number}", namespace="b"),
            log_directory=f"{self.logs}/{number}",
            linux=pb.LinuxPodSandboxConfig(),
        )
        container = pb.ContainerConfig(
            metadata=pb.ContainerMetadata(name="c"),
            image=pb.ImageSpec(image=NAME),
            command=["sleep", "100000"],
            log_path="c.log",
        )
        pods: list[str] = []

        def action() -> None:
            pod = self.cri.RunPodSandbox(pb.RunPodSandboxRequest(config=config)).pod_sandbox_id
            pods.append(pod)
            request = pb.CreateContainerRequest(
                pod_sandbox_id=pod, config=container, sandbox_config=config
            )
            made = self.cri.CreateContainer(request).container_id
            self.cri.StartContainer(pb.StartContainerRequest(container_id=made))

        return_time = milliseconds(action)
        return pods[0], return_time

    def remove(self, pod: str) -> None:
        self.cri.StopPodSandbox(pb.StopPodSandboxRequest(pod_sandbox_id=pod))
        self.cri.RemovePodSandbox(pb.RemovePodSandboxRequest(pod_sandbox_id=pod))

    def sample(self) -> float:
        pod, spent = self.start()
        self.remove(pod)
        return spent

    def close(self) -> None:
        self.cri.__exit__(None, None, None)


def rows(peers: Peers, samples: int) -> Iterator[Row]:
    version = "containerd " + output("/usr/bin/containerd", "--version").split()[2]
    row = Row("RunPodSandbox, CreateContainer, StartContainer, bridge CNI", "ms", version, 0.5)
    ours = kubelet(peers, str(peers.ours().state / "cri.sock"), "ours")
    theirs = kubelet(peers, peers.containerd(), "theirs")
    ours.sample(), theirs.sample()
    for _ in range(samples):
        row.theirs.append(theirs.sample())
        row.ours.append(ours.sample())
    yield row


def kubelet(peers: Peers, socket: str, name: str) -> Any:
    made = Kubelet(socket, f"{peers.base}/logs-{name}")
    peers.stack.callback(made.close)
    return made
