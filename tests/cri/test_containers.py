"""Containers of pods: life, logs, exec, limits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import grpc
import pytest

from corten.cri.pb import cri_pb2 as pb
from tests.cri.client import IMAGE, SHELL, Cri, Pod
from tests.cri.conftest import CriDaemon
from tests.support import eventually


def code_of(function: Any, request: Any) -> str:
    """The status code with which a call fails."""
    with pytest.raises(grpc.RpcError) as caught:
        function(request)
    name: str = caught.value.code().name
    return name


def test_created_running_exited(cri: Cri, pod: Pod) -> None:
    one = pod.create("one", *SHELL, "exit 7", labels={"tier": "front"})
    assert cri.status(one).state == pb.CONTAINER_CREATED
    cri.StartContainer(pb.StartContainerRequest(container_id=one))
    ended = cri.wait(one)
    assert (ended.exit_code, ended.reason) == (7, "Error")
    assert 0 < ended.created_at <= ended.started_at <= ended.finished_at
    assert ended.labels == {"tier": "front"}
    start = pb.StartContainerRequest(container_id=one)
    assert code_of(cri.StartContainer, start) == "FAILED_PRECONDITION"


def test_the_log_is_in_cri_format(cri: Cri, pod: Pod, cri_daemon: CriDaemon) -> None:
    one = pod.run("talker", *SHELL, "echo out; echo err >&2; printf tail")
    assert cri.wait(one).exit_code == 0
    path = Path(cri.status(one).log_path)
    assert path == cri_daemon.logs / "web/talker.log"
    lines = path.read_text().splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d)"
    for expected in ("stdout F out", "stderr F err", "stdout [FP] tail"):
        assert any(re.fullmatch(f"{stamp} {expected}", line) for line in lines), lines


def test_a_retry_gets_the_same_container(cri: Cri, pod: Pod) -> None:
    assert pod.create("one", *SHELL, "true") == pod.create("one", *SHELL, "true")


def test_stop_and_remove_are_idempotent(cri: Cri, pod: Pod) -> None:
    one = pod.sleeper()
    for _ in range(2):
        cri.StopContainer(pb.StopContainerRequest(container_id=one, timeout=10))
    assert cri.status(one).exit_code == 0
    for _ in range(2):
        cri.RemoveContainer(pb.RemoveContainerRequest(container_id=one))
    cri.StopContainer(pb.StopContainerRequest(container_id=one))
    status = pb.ContainerStatusRequest(container_id=one)
    assert code_of(cri.ContainerStatus, status) == "NOT_FOUND"


def test_removing_a_running_container_ends_it(cri: Cri, pod: Pod) -> None:
    one = pod.sleeper()
    cri.RemoveContainer(pb.RemoveContainerRequest(container_id=one))
    assert cri.ListContainers(pb.ListContainersRequest()).containers == []


def test_a_timeout_of_zero_kills_at_once(cri: Cri, pod: Pod) -> None:
    one = pod.run("stubborn", *SHELL, "trap '' TERM; while true; do sleep 1; done")
    cri.StopContainer(pb.StopContainerRequest(container_id=one, timeout=0))
    assert cri.wait(one).exit_code == 137


def test_a_missing_program_is_an_error_and_the_container_has_exited(cri: Cri, pod: Pod) -> None:
    one = pod.create("broken", "/no/such/program")
    start = pb.StartContainerRequest(container_id=one)
    assert code_of(cri.StartContainer, start) == "INVALID_ARGUMENT"
    status = cri.status(one)
    assert (status.state, status.exit_code) == (pb.CONTAINER_EXITED, 127)
    assert status.reason == "StartError"
    assert "/no/such/program" in status.message


def test_exec_sync(cri: Cri, pod: Pod) -> None:
    one = pod.sleeper()
    done = cri.exec(one, "sh", "-c", "echo out; echo err >&2; exit 5")
    assert (done.stdout, done.stderr, done.exit_code) == (b"out\n", b"err\n", 5)
    missing = pb.ExecSyncRequest(container_id=one, cmd=["/no/such/program"])
    assert code_of(cri.ExecSync, missing) == "INVALID_ARGUMENT"
    ended = pod.run("ended", *SHELL, "true")
    cri.wait(ended)
    late = pb.ExecSyncRequest(container_id=ended, cmd=["/bin/busybox", "true"])
    assert code_of(cri.ExecSync, late) == "FAILED_PRECONDITION"


def test_exec_sync_kills_what_takes_too_long(cri: Cri, pod: Pod) -> None:
    one = pod.sleeper()
    slow = pb.ExecSyncRequest(container_id=one, cmd=["/bin/busybox", "sleep", "777"], timeout=1)
    assert code_of(cri.ExecSync, slow) == "DEADLINE_EXCEEDED"
    eventually(lambda: "sleep 777" not in cri.output(one, "ps"), what="the command is killed")


def test_the_process_gets_what_was_asked_for(cri: Cri, pod: Pod, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "file").write_text("from the host\n")
    security = pb.LinuxContainerSecurityContext(
        run_as_user=pb.Int64Value(value=1000),
        run_as_group=pb.Int64Value(value=2000),
        supplemental_groups=[3000],
        no_new_privs=True,
        seccomp=pb.SecurityProfile(profile_type=pb.SecurityProfile.RuntimeDefault),
    )
    one = pod.sleeper(
        envs=[pb.KeyValue(key="COLOR", value="blauäugig".encode())],
        working_dir="/mnt",
        mounts=[
            pb.Mount(container_path="/mnt/data", host_path=str(tmp_path), readonly=True),
            pb.Mount(container_path="/mnt/new", host_path=str(tmp_path / "made")),
        ],
        linux=pb.LinuxContainerConfig(security_context=security),
    )
    assert cri.output(one, "id") == "uid=1000 gid=2000 groups=2000,3000"
    assert cri.output(one, "pwd") == "/mnt"
    assert cri.output(one, "cat", "/mnt/data/file") == "from the host"
    assert cri.exec(one, "touch", "/mnt/data/x").exit_code == 1
    assert (tmp_path / "made").is_dir()
    assert "COLOR=blauäugig" in cri.output(one, "env")
    status = dict(
        line.split(":\t", 1)
        for line in cri.output(one, "cat", "/proc/1/status").splitlines()
        if ":\t" in line
    )
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize(("policy", "more"), [(pb.Merge, [50]), (pb.Strict, [])])
def test_groups_of_the_image_are_taken_as_the_policy_says(
    cri: Cri, pod: Pod, policy: Any, more: list[int], tmp_path: Path
) -> None:
    (tmp_path / "group").write_text("staff:x:50:ann\n")
    (tmp_path / "passwd").write_text("ann:x:1000:100::/:\n")
    security = pb.LinuxContainerSecurityContext(
        run_as_user=pb.Int64Value(value=1000),
        run_as_group=pb.Int64Value(value=2000),
        supplemental_groups=[3000],
        supplemental_groups_policy=policy,
    )
    one = pod.sleeper(
        mounts=[
            pb.Mount(container_path=f"/etc/{name}", host_path=str(tmp_path / name))
            for name in ("group", "passwd")
        ],
        linux=pb.LinuxContainerConfig(security_context=security),
    )
    tmp_path.chmod(0o755)
    groups = sorted([2000, 3000, *more])
    assert sorted(map(int, cri.output(one, "id", "-G").split())) == groups
    user = cri.status(one).user.linux
    assert (user.uid, user.gid, sorted(user.supplemental_groups)) == (1000, 2000, groups)


def test_limits_are_set_and_shown(cri: Cri, pod: Pod) -> None:
    resources = pb.LinuxContainerResources(
        memory_limit_in_bytes=32 << 20, cpu_quota=50_000, cpu_period=100_000, oom_score_adj=500
    )
    one = pod.sleeper(linux=pb.LinuxContainerConfig(resources=resources))
    shown = cri.status(one).resources.linux
    assert (shown.memory_limit_in_bytes, shown.cpu_quota) == (32 << 20, 50_000)
    assert cri.output(one, "cat", "/proc/1/oom_score_adj") == "500"
    hog = pod.run(
        "hog",
        *SHELL,
        "x=x; while true; do x=$x$x; done",
        linux=pb.LinuxContainerConfig(resources=resources),
    )
    ended = cri.wait(hog)
    assert (ended.exit_code, ended.reason) == (137, "OOMKilled")


def test_the_pods_resolver_and_names(cri: Cri, cri_daemon: CriDaemon) -> None:
    dns = pb.DNSConfig(servers=["10.96.0.10"], searches=["svc.local"], options=["ndots:5"])
    pod = cri.run_pod("named", dns_config=dns)
    one = pod.sleeper()
    assert cri.output(one, "cat", "/etc/resolv.conf").splitlines() == [
        "nameserver 10.96.0.10",
        "search svc.local",
        "options ndots:5",
    ]


def test_containers_are_listed_and_filtered(cri: Cri, pod: Pod) -> None:
    one = pod.sleeper("one", labels={"n": "1"})
    two = pod.create("two", *SHELL, "true", labels={"n": "2"})

    def listed(**fields: Any) -> list[str]:
        wanted = pb.ContainerFilter(**fields)
        answer = cri.ListContainers(pb.ListContainersRequest(filter=wanted))
        return sorted(item.id for item in answer.containers)

    assert listed() == sorted([one, two])
    assert listed(label_selector={"n": "1"}) == [one]
    assert listed(state=pb.ContainerStateValue(state=pb.CONTAINER_CREATED)) == [two]
    assert listed(pod_sandbox_id=pod.id, id=two) == [two]


def test_the_image_id_is_the_same_everywhere(cri: Cri, pod: Pod) -> None:
    spec = pb.ImageSpec(image=IMAGE)
    image = cri.ImageStatus(pb.ImageStatusRequest(image=spec)).image
    by_id = cri.ImageStatus(pb.ImageStatusRequest(image=pb.ImageSpec(image=image.id))).image
    one = pod.create("one", *SHELL, "true")
    listed = cri.ListContainers(pb.ListContainersRequest()).containers
    assert {image.id, by_id.id, cri.status(one).image_id, listed[0].image_id} == {image.id}


def test_bad_requests_say_what_is_wrong(cri: Cri, pod: Pod) -> None:
    def create(**fields: Any) -> pb.CreateContainerRequest:
        config = pod.container_config("bad", *SHELL, "true")
        config.MergeFrom(pb.ContainerConfig(**fields))
        return pb.CreateContainerRequest(pod_sandbox_id=pod.id, config=config)

    absent = create(image=pb.ImageSpec(image="docker.io/library/absent:1"))
    assert code_of(cri.CreateContainer, absent) == "NOT_FOUND"
    leaving = create(log_path="../../escape.log")
    assert code_of(cri.CreateContainer, leaving) == "INVALID_ARGUMENT"
    orphan = pb.CreateContainerRequest(pod_sandbox_id="0" * 64)
    assert code_of(cri.CreateContainer, orphan) == "NOT_FOUND"
