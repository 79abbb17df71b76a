"""Pods: shared namespaces, networks by CNI, stop and remove."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import grpc
import pytest

from corten.cri.pb import cri_pb2 as pb
from tests.cri.client import SHELL, Cri, Pod, linux
from tests.cri.conftest import CriDaemon
from tests.support import eventually


def processes_in(netns: int) -> list[int]:
    """Processes whose network namespace has this inode."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.stat(f"/proc/{entry}/ns/net").st_ino == netns:
                    found.append(int(entry))
            except OSError:
                continue
    return found


def name_of(pid: int) -> str:
    """Empty: it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def test_two_containers_share_a_network_without_a_pause_process(
    cri: Cri, pod: Pod, cri_daemon: CriDaemon
) -> None:
    pins = list((cri_daemon.state / "netns").iterdir())
    assert len(pins) == 1
    netns = pins[0].stat().st_ino
    assert processes_in(netns) == []
    served = "echo hello >/index.html && exec busybox httpd -f -p 80 -h /"
    server = pod.run("server", *SHELL, served)
    client = pod.sleeper("client")
    asked = ["wget", "-q", "-O", "-", "http://127.0.0.1/index.html"]
    eventually(lambda: cri.exec(client, *asked).stdout == b"hello\n", what="by loopback")
    url = f"http://{pod.ip}/index.html"
    outside = [*cri_daemon.inside(), "busybox", "wget", "-q", "-O", "-", url]
    assert subprocess.run(outside, capture_output=True, check=True).stdout == b"hello\n"
    names = {name_of(pid) for pid in processes_in(netns)}
    assert names <= {"busybox", "sh", "sleep", "httpd", ""}
    for one in (server, client):
        assert cri.output(one, "hostname") == "web"
        assert pod.ip in cri.output(one, "ip", "-4", "addr", "show", "eth0")


def test_the_status_shows_what_the_pod_is(cri: Cri, pod: Pod) -> None:
    status = pod.status()
    assert status.state == pb.SANDBOX_READY
    assert status.metadata == pod.config.metadata
    assert re.fullmatch(r"10\.88\.\d+\.\d+", status.network.ip)
    ready = pb.PodSandboxStateValue(state=pb.SANDBOX_READY)
    wanted = pb.PodSandboxFilter(state=ready, id=pod.id)
    listed = cri.ListPodSandbox(pb.ListPodSandboxRequest(filter=wanted)).items
    assert [item.id for item in listed] == [pod.id]


def test_a_retry_gets_the_same_pod(cri: Cri, pod: Pod) -> None:
    again = cri.RunPodSandbox(pb.RunPodSandboxRequest(config=pod.config))
    assert again.pod_sandbox_id == pod.id


def test_stop_ends_the_containers_and_frees_the_network(
    cri: Cri, pod: Pod, cri_daemon: CriDaemon
) -> None:
    one = pod.sleeper()
    for _ in range(2):  # idempotent
        cri.StopPodSandbox(pb.StopPodSandboxRequest(pod_sandbox_id=pod.id))
    assert pod.status().state == pb.SANDBOX_NOTREADY
    assert pod.status().network.ip == ""
    assert cri.status(one).state == pb.CONTAINER_EXITED
    assert cri_daemon.leases() == []
    assert list((cri_daemon.state / "netns").iterdir()) == []
    for _ in range(2):
        cri.RemovePodSandbox(pb.RemovePodSandboxRequest(pod_sandbox_id=pod.id))
    with pytest.raises(grpc.RpcError) as caught:
        pod.status()
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert cri.ListContainers(pb.ListContainersRequest()).containers == []


def test_what_is_not_there_is_stopped_and_removed_already(cri: Cri) -> None:
    cri.StopPodSandbox(pb.StopPodSandboxRequest(pod_sandbox_id="0" * 64))
    cri.RemovePodSandbox(pb.RemovePodSandboxRequest(pod_sandbox_id="0" * 64))


def test_a_shared_pid_namespace_has_a_reaper(cri: Cri) -> None:
    pod = cri.run_pod("shared", pid=pb.POD)
    one, two = pod.sleeper("one"), pod.sleeper("two")

    def both() -> bool:  # a shell forks a copy of itself first
        shown = cri.output(one, "ps")
        return shown.count("sleep 1000") == 2 + shown.count("trap") == 4

    eventually(both, what="the processes of both are seen")
    assert cri.output(one, "readlink", "/proc/self/ns/pid") == cri.output(
        two, "readlink", "/proc/self/ns/pid"
    )


def test_a_private_pid_namespace_is_private(cri: Cri) -> None:
    pod = cri.run_pod("private")
    one, two = pod.sleeper("one"), pod.sleeper("two")
    assert cri.output(one, "cat", "/proc/1/comm") == "busybox"
    assert cri.output(one, "readlink", "/proc/self/ns/pid") != cri.output(
        two, "readlink", "/proc/self/ns/pid"
    )
    assert cri.output(one, "readlink", "/proc/self/ns/ipc") == cri.output(
        two, "readlink", "/proc/self/ns/ipc"
    )


def test_the_hosts_network(cri: Cri, cri_daemon: CriDaemon) -> None:
    pod = cri.run_pod("host", linux=linux(network=pb.NODE))
    assert pod.ip == ""
    assert cri_daemon.leases() == []
    one = pod.sleeper()
    inside = [*cri_daemon.inside(), "readlink", "/proc/self/ns/net"]
    hosts = subprocess.run(inside, capture_output=True, text=True, check=True).stdout.strip()
    assert cri.output(one, "readlink", "/proc/self/ns/net") == hosts


def test_a_host_port(cri: Cri, cri_daemon: CriDaemon) -> None:
    ports = [pb.PortMapping(protocol=pb.TCP, container_port=80, host_port=8088)]
    pod = cri.run_pod("ported", port_mappings=ports)
    pod.run("server", *SHELL, "echo hi >/index.html && exec busybox httpd -f -p 80 -h /")
    client = cri.run_pod("client").sleeper()
    url = "http://10.88.0.1:8088/index.html"
    asked = ["wget", "-q", "-O", "-", url]
    eventually(lambda: cri.exec(client, *asked).stdout == b"hi\n", what="the host port answers")


def test_a_daemon_that_was_killed_finds_its_pods_again(
    cri: Cri, pod: Pod, cri_daemon: CriDaemon
) -> None:
    one = pod.sleeper()
    before = pod.status(), cri.status(one)
    cri_daemon.kill()
    cri_daemon.start()
    cri.reconnect()
    assert (pod.status(), cri.status(one)) == before
    assert pod.ip in cri.output(one, "ip", "-4", "addr", "show", "eth0")
    cri.StopContainer(pb.StopContainerRequest(container_id=one, timeout=10))
    assert cri.wait(one).exit_code == 0


def test_a_pod_is_explained(cri: Cri, pod: Pod, cri_daemon: CriDaemon) -> None:
    one = pod.sleeper("one")
    done = cri_daemon.corten("explain", "--type", "pod", pod.id, "--format", "json")
    said = json.loads(done.stdout)
    assert [related["Id"] for related in said["Related"]] == [one]
    (pinned,) = [place["Path"] for place in said["Places"] if "pinned" in place["What"]]
    assert os.path.exists(pinned)
    assert "keeper" in {process["Role"] for process in said["Processes"]}
    assert said["Links"]
    assert "stop it first" in said["Removal"]["Obstacle"]
