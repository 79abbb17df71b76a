"""In the guest: a pod as a kubelet with the cgroup driver systemd makes it; prints the groups of
its container and of that one's monitor. Run by the interpreter of the installed Corten."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, "/opt/corten/current/lib")

import grpc

from corten.cri.pb import cri_pb2 as pb

NAME = "kubepods-besteffort-pod4711.slice"
PARENT = f"/kubepods.slice/kubepods-besteffort.slice/{NAME}"


def call(channel: grpc.Channel, name: str, request: Any) -> Any:
    service = next(s for s in pb.DESCRIPTOR.services_by_name.values() if name in s.methods_by_name)
    answer = getattr(pb, service.methods_by_name[name].output_type.name)
    method = channel.unary_unary(
        f"/{service.full_name}/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=answer.FromString,
    )
    return method(request, timeout=150)


def group(pid: str) -> str:
    rows = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(row[3:] for row in rows if row.startswith("0::"))


def main() -> None:
    channel = grpc.insecure_channel("unix:/run/corten/cri.sock")
    config = call(channel, "RuntimeConfig", pb.RuntimeConfigRequest())
    print("driver", pb.CgroupDriver.Name(config.linux.cgroup_driver))
    spaces = pb.NamespaceOption(network=pb.NODE, pid=pb.POD)
    linux = pb.LinuxPodSandboxConfig(
        cgroup_parent=PARENT,
        security_context=pb.LinuxSandboxSecurityContext(namespace_options=spaces),
    )
    sandbox = pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(name="pod", uid="u1", namespace="default"), linux=linux
    )
    pod = call(channel, "RunPodSandbox", pb.RunPodSandboxRequest(config=sandbox)).pod_sandbox_id
    security = pb.LinuxContainerSecurityContext(namespace_options=spaces)
    container = pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name="one"),
        image=pb.ImageSpec(image="hello"),
        command=["sleep", "1000"],
        linux=pb.LinuxContainerConfig(security_context=security),
    )
    created = call(
        channel,
        "CreateContainer",
        pb.CreateContainerRequest(pod_sandbox_id=pod, config=container, sandbox_config=sandbox),
    ).container_id
    call(channel, "StartContainer", pb.StartContainerRequest(container_id=created))
    status = call(
        channel, "ContainerStatus", pb.ContainerStatusRequest(container_id=created, verbose=True)
    )
    groups = _groups()
    inside = next(found for found in groups.values() if created in found)
    print("container", inside, status.status.state)
    keeper = next(pid for pid in groups if _name(pid) == f"corten-{created[:8]}")
    print("monitor", groups[keeper])
    call(channel, "StopPodSandbox", pb.StopPodSandboxRequest(pod_sandbox_id=pod))
    call(channel, "RemovePodSandbox", pb.RemovePodSandboxRequest(pod_sandbox_id=pod))


def _groups() -> dict[str, str]:
    """The group of every process; those that end meanwhile are left out."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            found[path.name] = group(path.name)
        except (OSError, StopIteration):
            continue
    return found


def _name(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


main()
