"""CRI's words into the engine's and back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from corten.cri import containerstatus, podconfig
from corten.cri.containerconfig import (
    container_config,
    container_name,
    origin,
    signal_name,
    signal_number,
)
from corten.cri.filters import container_matches, pod_matches
from corten.cri.pb import cri_pb2 as pb
from corten.engine.types import Container, Pod, State
from corten.errors import CortenError, InvalidArgument, NotFound, Unimplemented


def sandbox(**fields: object) -> pb.PodSandboxConfig:
    made = pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(name="web", namespace="prod", uid="u-1", attempt=2),
        hostname="web-0",
        log_directory="/var/log/pods/web",
        labels={"app": "web"},
    )
    made.MergeFrom(pb.PodSandboxConfig(**fields))  # type: ignore[arg-type]  # the test's own keywords
    return made


def pod(config: pb.PodSandboxConfig | None = None) -> Pod:
    translated = podconfig.pod_config(config or sandbox(), handler="")
    return Pod(id="f" * 64, tenant="k8s", config=translated, created_at=5, ready=True)


def container(**fields: object) -> pb.ContainerConfig:
    made = pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name="app", attempt=3),
        image=pb.ImageSpec(image="sha256:abc", user_specified_image="app:1"),
    )
    made.MergeFrom(pb.ContainerConfig(**fields))  # type: ignore[arg-type]  # the test's own keywords
    return made


def linux(**context: object) -> pb.LinuxContainerConfig:
    security = pb.LinuxContainerSecurityContext(**context)  # type: ignore[arg-type]  # the test's own keywords
    return pb.LinuxContainerConfig(security_context=security)


def namespaces(**options: object) -> pb.LinuxPodSandboxConfig:
    option = pb.NamespaceOption(**options)  # type: ignore[arg-type]  # the test's own keywords
    context = pb.LinuxSandboxSecurityContext(namespace_options=option)
    return pb.LinuxPodSandboxConfig(security_context=context)


# --- pods -----------------------------------------------------------------------------------


def test_a_pods_configuration() -> None:
    ports = [pb.PortMapping(protocol=pb.UDP, container_port=53, host_port=5353)]
    config = sandbox(
        dns_config=pb.DNSConfig(servers=["10.0.0.10"], options=["ndots:5"]),
        port_mappings=ports,
        linux=pb.LinuxPodSandboxConfig(cgroup_parent="/kubepods/p", sysctls={"a.b": "1"}),
    )
    made = podconfig.pod_config(config, handler="runc")
    assert (made.name, made.namespace, made.uid, made.attempt) == ("web", "prod", "u-1", 2)
    assert (made.dns_servers, made.dns_options) == (("10.0.0.10",), ("ndots:5",))
    assert [(p.protocol, p.container_port, p.host_port) for p in made.ports] == [("udp", 53, 5353)]
    assert (made.cgroup_parent, made.sysctls, made.runtime) == ("/kubepods/p", {"a.b": "1"}, "runc")


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({}, (False, False, False, True)),  # POD everywhere is the default
        ({"pid": pb.CONTAINER}, (False, False, False, False)),
        (
            {"network": pb.NODE, "pid": pb.NODE, "ipc": pb.NODE},
            (True, True, True, False),
        ),
    ],
)
def test_a_pods_namespaces_both_ways(options: dict[str, object], flags: tuple[bool, ...]) -> None:
    made = pod(sandbox(linux=namespaces(**options)))
    config = made.config
    assert (config.host_network, config.host_pid, config.host_ipc, config.share_pid) == flags
    shown = podconfig.status(made).linux.namespaces.options
    assert (shown.network, shown.pid, shown.ipc) == (
        options.get("network", pb.POD),
        options.get("pid", pb.POD),
        options.get("ipc", pb.POD),
    )


def test_pods_that_can_not_be_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="name and a namespace"):
        podconfig.pod_config(pb.PodSandboxConfig(), handler="")
    userns = pb.UserNamespace(mode=pb.POD)
    with pytest.raises(Unimplemented, match="user namespaces"):
        podconfig.pod_config(sandbox(linux=namespaces(userns_options=userns)), handler="")
    on_node = pb.UserNamespace(mode=pb.NODE)
    podconfig.pod_config(sandbox(linux=namespaces(userns_options=on_node)), handler="")


def test_a_pods_addresses_are_shown_while_it_is_ready() -> None:
    made = msgspec.structs.replace(pod(), ips=("10.0.0.2", "fd00::2"))
    shown = podconfig.status(made).network
    assert (shown.ip, [ip.ip for ip in shown.additional_ips]) == ("10.0.0.2", ["fd00::2"])
    stopped = msgspec.structs.replace(made, ready=False)
    assert podconfig.status(stopped).network.ip == ""
    assert podconfig.status(stopped).state == pb.SANDBOX_NOTREADY


# --- containers -----------------------------------------------------------------------------


def test_a_containers_configuration() -> None:
    config = container(
        command=["/bin/app"],
        envs=[pb.KeyValue(key="A", value=b"1=2")],
        mounts=[
            pb.Mount(
                container_path="/data",
                host_path="/srv",
                readonly=True,
                propagation=pb.PROPAGATION_HOST_TO_CONTAINER,
            )
        ],
        devices=[pb.Device(host_path="/dev/fuse", container_path="/dev/fuse")],
        log_path="app/0.log",
        stop_signal=pb.SIGNAL_SIGQUIT,
        linux=pb.LinuxContainerConfig(
            resources=pb.LinuxContainerResources(memory_limit_in_bytes=64 << 20, oom_score_adj=999)
        ),
    )
    made = container_config(config, pod())
    assert (made.image, made.entrypoint, made.cmd) == ("sha256:abc", ("/bin/app",), None)
    assert made.env == ("A=1=2",)
    mount = made.mounts[0]
    assert (mount.source, mount.target, mount.read_only) == ("/srv", "/data", True)
    assert (mount.propagation, mount.create_source) == ("rslave", True)
    assert made.devices[0].access == "rwm"
    assert (made.log.driver, made.log.path) == ("cri", "/var/log/pods/web/app/0.log")
    assert (made.stop_signal, made.oom_score_adj) == ("SIGQUIT", 999)
    assert (made.resources.memory, made.resources.cpu_quota) == (64 << 20, None)
    assert made.security.seccomp == "unconfined"
    assert made.hostname == "web-0"
    assert container_name(config, pod()) == "k8s_app_web_prod_u-1_3"


@pytest.mark.parametrize(
    ("context", "user"),
    [
        ({}, ""),
        ({"run_as_user": pb.Int64Value(value=0)}, "0"),
        ({"run_as_user": pb.Int64Value(value=7), "run_as_group": pb.Int64Value(value=8)}, "7:8"),
        ({"run_as_username": "www", "run_as_group": pb.Int64Value(value=0)}, "www:0"),
    ],
)
def test_users(context: dict[str, object], user: str) -> None:
    assert container_config(container(linux=linux(**context)), pod()).user == user


def test_a_group_alone_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="run_as_group"):
        container_config(container(linux=linux(run_as_group=pb.Int64Value(value=1))), pod())


@pytest.mark.parametrize(
    ("options", "share", "expected"),
    [
        ({}, True, ("pod", "pod", "pod", "pod")),
        ({"pid": pb.CONTAINER}, True, ("pod", "private", "pod", "pod")),
        ({}, False, ("pod", "private", "pod", "pod")),
        ({"pid": pb.TARGET, "target_id": "abc"}, True, ("pod", "container:abc", "pod", "pod")),
    ],
)
def test_a_containers_namespaces(
    options: dict[str, object], share: bool, expected: tuple[str, ...]
) -> None:
    of_pod = pod(sandbox(linux=namespaces(pid=pb.POD if share else pb.CONTAINER)))
    option = pb.NamespaceOption(**options)  # type: ignore[arg-type]  # the test's own keywords
    found = container_config(container(linux=linux(namespace_options=option)), of_pod).namespaces
    assert (found.network, found.pid, found.ipc, found.uts) == expected


def test_the_hosts_network_comes_with_the_hosts_name() -> None:
    of_pod = pod(sandbox(linux=namespaces(network=pb.NODE)))
    found = container_config(container(), of_pod).namespaces
    assert (found.network, found.uts) == ("host", "host")


def test_seccomp_profiles(tmp_path: Path) -> None:
    kinds = pb.SecurityProfile

    def seccomp(profile: pb.SecurityProfile, **context: object) -> str:
        config = container(linux=linux(seccomp=profile, **context))
        return container_config(config, pod()).security.seccomp

    (tmp_path / "p.json").write_text("{}")
    assert seccomp(kinds(profile_type=kinds.RuntimeDefault)) == "default"
    assert seccomp(kinds(profile_type=kinds.Unconfined)) == "unconfined"
    assert seccomp(kinds(profile_type=kinds.RuntimeDefault), privileged=True) == "unconfined"
    local = kinds(profile_type=kinds.Localhost, localhost_ref=str(tmp_path / "p.json"))
    assert seccomp(local) == "{}"
    with pytest.raises(NotFound, match="seccomp profile"):
        seccomp(kinds(profile_type=kinds.Localhost, localhost_ref=str(tmp_path / "absent")))


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"log_path": "../../etc/passwd"}, InvalidArgument),
        ({"envs": [pb.KeyValue(key="A", value=b"\xff")]}, Unimplemented),
        ({"mounts": [pb.Mount(image=pb.ImageSpec(image="x"))]}, Unimplemented),
        ({"mounts": [pb.Mount(uidMappings=[pb.IDMapping()])]}, Unimplemented),
        ({"CDI_devices": [pb.CDIDevice(name="x")]}, Unimplemented),
    ],
)
def test_what_can_not_be_is_refused(fields: dict[str, object], kind: type[CortenError]) -> None:
    with pytest.raises(kind):
        container_config(container(**fields), pod())


def test_a_container_needs_name_and_image() -> None:
    with pytest.raises(InvalidArgument, match="name"):
        container_config(pb.ContainerConfig(image=pb.ImageSpec(image="x")), pod())
    with pytest.raises(InvalidArgument, match="image"):
        container_config(pb.ContainerConfig(metadata=pb.ContainerMetadata(name="x")), pod())


@pytest.mark.parametrize("name", ["SIGTERM", "SIGRTMIN+3", "SIGRTMAX-14", "SIGRTMIN", "SIGRTMAX"])
def test_signals_both_ways(name: str) -> None:
    assert signal_name(signal_number(name)) == name


def test_other_signals_are_the_default() -> None:
    assert signal_number("") == signal_number("SIGNOPE") == pb.SIGNAL_RUNTIME_DEFAULT
    assert signal_number("TERM") == pb.SIGNAL_SIGTERM
    assert signal_name(pb.SIGNAL_RUNTIME_DEFAULT) == ""


def record(state: State, **fields: object) -> Container:
    given = container(labels={"tier": "front"}, linux=linux(run_as_user=pb.Int64Value(value=7)))
    return Container(
        id="c" * 64,
        tenant="k8s",
        name="k8s_app",
        config=container_config(given, pod()),
        image_ref="app:1",
        image_id="sha256:abc",
        created_at=10,
        state=state,
        pod_id="f" * 64,
        attempt=3,
        origin=origin(given),
        **fields,  # type: ignore[arg-type]  # the test's own keywords
    )


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State(status="created"), (pb.CONTAINER_CREATED, 0, "", 0)),
        (State(status="running", started_at=20), (pb.CONTAINER_RUNNING, 0, "", 0)),
        (
            State(status="exited", started_at=20, finished_at=30, exit_code=0),
            (pb.CONTAINER_EXITED, 0, "Completed", 30),
        ),
        (
            State(status="exited", started_at=20, finished_at=30, exit_code=3),
            (pb.CONTAINER_EXITED, 3, "Error", 30),
        ),
        (
            State(status="exited", started_at=20, finished_at=30, exit_code=137, oom_killed=True),
            (pb.CONTAINER_EXITED, 137, "OOMKilled", 30),
        ),
        (
            State(status="created", exit_code=127, error="no such program"),
            (pb.CONTAINER_EXITED, 127, "StartError", 0),
        ),
    ],
)
def test_a_containers_status(state: State, expected: tuple[object, ...]) -> None:
    shown = containerstatus.status(record(state))
    assert (shown.state, shown.exit_code, shown.reason, shown.finished_at) == expected
    assert shown.message == state.error
    assert (shown.metadata.name, shown.metadata.attempt) == ("app", 3)
    assert (shown.image.image, shown.image.user_specified_image) == ("sha256:abc", "app:1")
    assert (shown.image_id, shown.image_ref) == ("sha256:abc", "sha256:abc")
    assert shown.user.linux.uid == 7


def test_filters() -> None:
    made = record(State(status="running"))
    running = pb.ContainerStateValue(state=pb.CONTAINER_RUNNING)
    created = pb.ContainerStateValue(state=pb.CONTAINER_CREATED)
    for wanted, expected in [
        (pb.ContainerFilter(), True),
        (pb.ContainerFilter(id="cccc"), True),
        (pb.ContainerFilter(id="dddd"), False),
        (pb.ContainerFilter(pod_sandbox_id="f" * 64), True),
        (pb.ContainerFilter(pod_sandbox_id="e"), False),
        (pb.ContainerFilter(state=running), True),
        (pb.ContainerFilter(state=created), False),
        (pb.ContainerFilter(label_selector={"tier": "front"}), True),
        (pb.ContainerFilter(label_selector={"tier": "back"}), False),
    ]:
        assert container_matches(made, wanted) is expected, wanted
    ready = pb.PodSandboxStateValue(state=pb.SANDBOX_READY)
    assert pod_matches(pod(), pb.PodSandboxFilter(state=ready, label_selector={"app": "web"}))
    not_ready = pb.PodSandboxStateValue(state=pb.SANDBOX_NOTREADY)
    assert not pod_matches(pod(), pb.PodSandboxFilter(state=not_ready))
