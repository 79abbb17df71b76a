"""From a container's record to its runtime configuration."""

from __future__ import annotations

from typing import Any

import pytest

from corten.engine import specgen
from corten.engine.specgen import capabilities, mounts, resources
from corten.engine.specgen.build import Surroundings
from corten.engine.specgen.devices import HostDevice
from corten.engine.specgen.process import environment
from corten.engine.specgen.signals import signal_number
from corten.engine.types import (
    Container,
    ContainerConfig,
    DeviceRequest,
    ExecConfig,
    MountRequest,
    Namespaces,
    Resources,
    Security,
    Ulimit,
)
from corten.errors import InvalidArgument, Unimplemented

IMAGE = {
    "config": {
        "Entrypoint": ["/entry"],
        "Cmd": ["serve"],
        "Env": ["PATH=/image", "A=1"],
        "User": "web",
        "WorkingDir": "/srv",
        "StopSignal": "SIGQUIT",
        "ExposedPorts": {"80/tcp": {}},
        "Labels": {"from": "image", "both": "image"},
    }
}


def merged(**fields: Any) -> ContainerConfig:
    return specgen.merge_image(ContainerConfig(image="i", **fields), IMAGE, labels=True)


def document(config: ContainerConfig, **around: Any) -> dict[str, Any]:
    record = Container(
        id="c" * 64,
        tenant="docker",
        name="n",
        config=config,
        image_ref="i",
        image_id="sha256:i",
        created_at=0,
    )
    surroundings: dict[str, Any] = {
        "cgroup": "/corten/c",
        "rootfs": "/rootfs",
        "capabilities": capabilities.ALL,
        "host_hostname": "host",
    }
    return specgen.build(record, Surroundings(**{**surroundings, **around}))


def config(**fields: Any) -> ContainerConfig:
    return ContainerConfig(**{"image": "i", "cmd": ("sh",), **fields})


# --- what comes from the image ----------------------------------------------------------


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "args"),
    [
        (None, None, ("/entry", "serve")),
        (None, ("x", "y"), ("/entry", "x", "y")),
        (("/own",), None, ("/own",)),  # an entrypoint of one's own drops the image's command
        (("/own",), ("z",), ("/own", "z")),
        (("",), ("z",), ("z",)),  # Docker's --entrypoint ""
        ((), ("z",), ("z",)),
        (None, (), ("/entry", "serve")),
    ],
)
def test_entrypoint_and_command(entrypoint: Any, cmd: Any, args: tuple[str, ...]) -> None:
    result = merged(entrypoint=entrypoint, cmd=cmd)
    assert (result.entrypoint or ()) + (result.cmd or ()) == args


def test_no_command_at_all_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="no command"):
        merged(entrypoint=())
    with pytest.raises(InvalidArgument, match="no command"):
        specgen.merge_image(ContainerConfig(image="i"), {}, labels=True)


def test_the_rest_of_the_image() -> None:
    result = merged(env=("A=2", "B=3"), labels={"both": "own"})
    assert result.env == ("A=2", "B=3", "PATH=/image")
    assert (result.user, result.working_dir, result.stop_signal) == ("web", "/srv", "SIGQUIT")
    assert result.exposed_ports == ("80/tcp",)
    assert result.labels == {"from": "image", "both": "own"}


def test_the_kubelet_does_not_see_an_images_labels() -> None:
    result = specgen.merge_image(ContainerConfig(image="i"), IMAGE, labels=False)
    assert result.labels == {}


# --- process ----------------------------------------------------------------------------


def test_environment() -> None:
    assert environment(["A=1", "PATH=/x", "A=2", "GONE=1", "GONE"], hostname="h", tty=True) == [
        "PATH=/x",
        "HOSTNAME=h",
        "TERM=xterm",
        "A=2",
    ]


def test_process() -> None:
    process = document(
        config(
            user="web:www",
            group_add=("audio",),
            tty=True,
            console_size=(24, 80),
            ulimits=(Ulimit(name="nofile", soft=1, hard=2),),
            oom_score_adj=0,
        )
    )["process"]
    assert process["user"] == {"username": "web:www", "additionalGroupNames": ["audio"]}
    assert process["consoleSize"] == {"height": 24, "width": 80}
    assert process["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}]
    assert process["oomScoreAdj"] == 0  # written: else it inherits the launcher's
    assert process["cwd"] == "/"
    assert "CAP_SYS_ADMIN" not in process["capabilities"]["bounding"]
    assert "inheritable" not in process["capabilities"]


def test_exec_takes_after_its_container() -> None:
    base = config(user="web", env=("A=1",), working_dir="/srv", tty=True, console_size=(1, 1))
    process = specgen.exec_process(
        ExecConfig(args=("id",), env=("A=2",)), base, hostname="h", capabilities=("CAP_KILL",)
    )
    assert process["args"] == ["id"]
    assert process["user"]["username"] == "web"
    assert process["cwd"] == "/srv"
    assert "A=2" in process["env"]
    assert not process["terminal"]
    assert "consoleSize" not in process


# --- capabilities -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("add", "drop", "has", "lacks"),
    [
        ((), (), "CAP_CHOWN", "CAP_SYS_ADMIN"),
        (("SYS_ADMIN",), (), "CAP_SYS_ADMIN", "CAP_SYS_TIME"),
        (("cap_net_admin",), ("chown",), "CAP_NET_ADMIN", "CAP_CHOWN"),
        ((), ("ALL",), "", "CAP_CHOWN"),
        (("CHOWN",), ("ALL",), "CAP_CHOWN", "CAP_KILL"),
        (("ALL",), ("SYS_ADMIN",), "CAP_SYS_TIME", "CAP_SYS_ADMIN"),
    ],
)
def test_capabilities(add: Any, drop: Any, has: str, lacks: str) -> None:
    found = capabilities.granted(Security(cap_add=add, cap_drop=drop), capabilities.ALL)
    assert not has or has in found
    assert lacks not in found


def test_capabilities_that_cannot_be_given() -> None:
    available = [c for c in capabilities.ALL if c != "CAP_SYS_RESOURCE"]
    everything = capabilities.granted(Security(privileged=True), available)
    assert list(everything) == available
    with pytest.raises(InvalidArgument, match="CAP_SYS_RESOURCE"):
        capabilities.granted(Security(cap_add=("SYS_RESOURCE",)), available)
    with pytest.raises(InvalidArgument, match="BOGUS"):
        capabilities.granted(Security(cap_add=("BOGUS",)), available)


def test_mask_bits_are_in_the_kernels_order() -> None:
    assert capabilities.from_mask(1 << 21) == ("CAP_SYS_ADMIN",)
    assert capabilities.from_mask(1 << 40) == ("CAP_CHECKPOINT_RESTORE",)


# --- mounts -----------------------------------------------------------------------------


def destinations(doc: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {mount["destination"]: mount for mount in doc["mounts"]}


def test_default_mounts() -> None:
    found = destinations(document(config(), files=[("/etc/hosts", "/c/hosts")]))
    assert "ro" in found["/sys"]["options"]
    assert "ro" in found["/sys/fs/cgroup"]["options"]
    assert "size=67108864" in found["/dev/shm"]["options"]
    assert found["/etc/hosts"]["source"] == "/c/hosts"


def test_a_users_mount_takes_a_defaults_place() -> None:
    wanted = config(
        mounts=(
            MountRequest(type="bind", source="/d", target="/dev"),
            MountRequest(type="bind", source="/h", target="/etc/hosts", read_only=True),
        )
    )
    doc = document(wanted, files=[("/etc/hosts", "/c/hosts")])
    found = destinations(doc)
    assert found["/dev"]["source"] == "/d"
    assert "/dev/pts" not in found
    assert found["/etc/hosts"]["options"] == ["rbind", "rprivate", "ro"]
    assert len(doc["mounts"]) == len(found)


def test_mounts_below_mounts_come_later() -> None:
    wanted = config(
        mounts=(
            MountRequest(type="bind", source="/1", target="/a/b/c"),
            MountRequest(type="tmpfs", target="/a"),
        )
    )
    order = list(destinations(document(wanted)))
    assert order.index("/a") < order.index("/a/b/c")


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (MountRequest(type="bind", source="/s", target="relative"), InvalidArgument),
        (MountRequest(type="bind", source="/s", target="/a/../../b"), InvalidArgument),
        (MountRequest(type="bind", source="name", target="/a"), InvalidArgument),
        (MountRequest(type="bind", source="/s", target="/"), InvalidArgument),
        (MountRequest(type="bind", source="/s", target="/a", propagation="odd"), InvalidArgument),
        (MountRequest(type="image", source="/v", target="/a"), Unimplemented),
    ],
)
def test_mounts_that_are_refused(request_: MountRequest, error: type[Exception]) -> None:
    with pytest.raises(error):
        document(config(mounts=(request_,)))


def test_two_mounts_at_one_place_are_refused() -> None:
    one = MountRequest(type="tmpfs", target="/a")
    with pytest.raises(InvalidArgument, match="Duplicate"):
        document(config(mounts=(one, MountRequest(type="tmpfs", target="/a/"))))


def test_tmpfs_defaults_give_way_to_their_opposites() -> None:
    found = mounts._tmpfs_options(
        MountRequest(type="tmpfs", target="/a", options=("exec", "size=1m"))
    )
    assert found == ["nosuid", "nodev", "exec", "size=1m"]


# --- the rest of linux ------------------------------------------------------------------


def test_privileged() -> None:
    kmsg = HostDevice(path="/dev/kmsg", kind="c", major=1, minor=11, mode=0o644)
    doc = document(config(security=Security(privileged=True)), host_devices=[kmsg])
    assert "maskedPaths" not in doc["linux"]
    assert "ro" not in destinations(doc)["/sys"]["options"]
    assert doc["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert [d["path"] for d in doc["linux"]["devices"]] == ["/dev/kmsg"]


def test_a_device_of_the_users() -> None:
    fuse = HostDevice(path="/dev/fuse", kind="c", major=10, minor=229, mode=0o666)
    request = DeviceRequest(host_path="/dev/fuse", container_path="/dev/f", access="rw")
    linux = document(config(devices=(request,)), devices=[fuse])["linux"]
    assert linux["devices"][0]["path"] == "/dev/f"
    assert linux["resources"]["devices"][0] == {"allow": False, "access": "rwm"}
    assert linux["resources"]["devices"][-1] == {
        "allow": True,
        "type": "c",
        "major": 10,
        "minor": 229,
        "access": "rw",
    }


def test_namespaces() -> None:
    def types(spaces: Namespaces) -> set[str]:
        linux = document(config(namespaces=spaces))["linux"]
        return {one["type"] for one in linux["namespaces"]}

    everything = {"mount", "pid", "ipc", "uts", "network", "cgroup"}
    assert types(Namespaces()) == everything
    assert types(Namespaces(network="host", pid="host")) == everything - {"network", "pid"}
    assert types(Namespaces(network="pod", ipc="container:x")) == everything
    with pytest.raises(InvalidArgument, match="odd"):
        types(Namespaces(pid="odd"))


def test_hostname_goes_with_the_uts_namespace() -> None:
    assert document(config(hostname="own"))["hostname"] == "own"
    assert "hostname" not in document(config(namespaces=Namespaces(uts="host")))
    assert "hostname" not in document(config(namespaces=Namespaces(uts="pod")))


def test_sysctls() -> None:
    given = document(config(sysctls={"net.core.somaxconn": "9"}))["linux"]["sysctl"]
    assert given["net.core.somaxconn"] == "9"
    assert given["net.ipv4.ip_unprivileged_port_start"] == "0"
    with pytest.raises(InvalidArgument, match="not namespaced"):
        document(config(sysctls={"vm.swappiness": "1"}))
    with pytest.raises(InvalidArgument, match="host network"):
        document(config(sysctls={"net.core.somaxconn": "9"}, namespaces=Namespaces(network="host")))


@pytest.mark.parametrize(
    ("wanted", "swap", "document_"),
    [
        (Resources(memory=100), True, {"memory": {"limit": 100, "swap": 200}}),
        (Resources(memory=100), False, {"memory": {"limit": 100}}),
        (Resources(memory=100, memory_swap=-1), True, {"memory": {"limit": 100, "swap": -1}}),
        (Resources(nano_cpus=1_500_000_000), True, {"cpu": {"period": 100000, "quota": 150000}}),
        (Resources(pids_limit=0), True, {"pids": {"limit": -1}}),
        (Resources(pids_limit=5), True, {"pids": {"limit": 5}}),
        (Resources(cpuset_cpus="0"), True, {"cpu": {"cpus": "0"}}),
        (Resources(), True, {}),
    ],
)
def test_limits(wanted: Resources, swap: bool, document_: dict[str, Any]) -> None:
    assert resources.linux_resources(wanted, swap_accounting=swap) == document_


@pytest.mark.parametrize(
    "wanted",
    [
        Resources(memory_swap=100),
        Resources(memory=100, memory_swap=50),
        Resources(memory=100, memory_reservation=200),
        Resources(nano_cpus=1, cpu_quota=1),
        Resources(nano_cpus=-1),
    ],
)
def test_limits_that_contradict_each_other(wanted: Resources) -> None:
    with pytest.raises(InvalidArgument):
        resources.linux_resources(wanted, swap_accounting=True)


@pytest.mark.parametrize(
    ("text", "number"),
    [("TERM", 15), ("sigkill", 9), ("15", 15), ("RTMIN+3", 37), ("SIGRTMAX-1", 63)],
)
def test_signals(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "NOPE", "RTMIN+99", "_DFL", "-9"])
def test_what_is_no_signal(text: str) -> None:
    with pytest.raises(InvalidArgument):
        signal_number(text)
