"""``POST /containers/create``: what becomes of the body."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from corten.dockerapi import create
from corten.dockerapi.requests import CreateBody, ExecBody
from corten.engine.types import (
    ContainerConfig,
    DeviceRequest,
    HealthConfig,
    LogConfig,
    Namespaces,
    NetworkRequest,
    PortBinding,
    RestartPolicy,
    Ulimit,
)
from corten.errors import CortenError, InvalidArgument, Unimplemented


def made(**body: Any) -> ContainerConfig:
    return both(**body)[0]


def both(**body: Any) -> tuple[ContainerConfig, list[str]]:
    text = json.dumps({"Image": "x", **body})
    return create.container(msgspec.json.decode(text, type=CreateBody))


def hosted(**host: Any) -> ContainerConfig:
    return made(HostConfig=host)


def test_least() -> None:
    assert made() == ContainerConfig(image="x")


def test_null_is_the_same_as_missing() -> None:
    names = [field.encode_name for field in msgspec.structs.fields(CreateBody)]
    assert made(**{name: None for name in names if name != "Image"}) == ContainerConfig(image="x")


def test_fields_nobody_knows_are_passed_over() -> None:
    assert made(Unknown={"a": [1]}, HostConfig={"Later": True}) == ContainerConfig(image="x")


def test_process() -> None:
    config = made(
        Hostname="h",
        Domainname="d",
        User="u:g",
        Env=["A=1", "B"],
        Cmd=["a", "b"],
        Entrypoint=["e"],
        WorkingDir="/w",
        Labels={"k": "v"},
        Tty=True,
        OpenStdin=True,
        StdinOnce=True,
        StopSignal="INT",
        StopTimeout=3,
        ExposedPorts={"80/tcp": {}},
    )
    assert config == ContainerConfig(
        image="x",
        hostname="h",
        domainname="d",
        user="u:g",
        env=("A=1", "B"),
        cmd=("a", "b"),
        entrypoint=("e",),
        working_dir="/w",
        labels={"k": "v"},
        tty=True,
        open_stdin=True,
        stdin_once=True,
        stop_signal="INT",
        stop_timeout=3,
        exposed_ports=("80/tcp",),
    )


_OPTION = "com.docker.network.endpoint.ifname"


@pytest.mark.parametrize(
    ("given", "entrypoint"),
    [(None, None), ("", ()), ([""], ()), ([], ()), ("sh", ("sh",)), (["a", ""], ("a", ""))],
)
def test_entry_point(given: Any, entrypoint: Any) -> None:
    assert made(Entrypoint=given).entrypoint == entrypoint


def test_command_as_a_string() -> None:
    assert made(Cmd="sh -c x").cmd == ("sh -c x",)
    assert made(Cmd=[]).cmd is None


def test_host() -> None:
    config = hosted(
        PortBindings={"80/tcp": [{"HostPort": "8080"}]},
        PublishAllPorts=True,
        Devices=[{"PathOnHost": "/dev/null", "PathInContainer": "/dev/n"}],
        Ulimits=[{"Name": "nofile", "Soft": 1, "Hard": 2}],
        RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 2},
        LogConfig={"Type": "", "Config": {"max-size": "1m"}},
        Init=True,
        ShmSize=1 << 20,
        OomScoreAdj=5,
        Dns=["1.1.1.1"],
        ConsoleSize=[24, 80],
        Sysctls={"a": "b"},
        Runtime="runc",
    )
    assert config == ContainerConfig(
        image="x",
        ports=(PortBinding(container_port=80, host_port=8080),),
        publish_all=True,
        devices=(DeviceRequest(host_path="/dev/null", container_path="/dev/n"),),
        ulimits=(Ulimit(name="nofile", soft=1, hard=2),),
        restart=RestartPolicy(name="on-failure", maximum_retry_count=2),
        log=LogConfig(options={"max-size": "1m"}),
        init=True,
        shm_size=1 << 20,
        oom_score_adj=5,
        dns=("1.1.1.1",),
        console_size=(24, 80),
        sysctls={"a": "b"},
        runtime="runc",
    )


def test_health() -> None:
    config = made(Healthcheck={"Test": ["CMD", "true"], "Interval": 1_500_000_000, "Retries": 2})
    assert config.health == HealthConfig(test=("CMD", "true"), interval=1.5, retries=2)


# limits --------------------------------------------------------------------------------


def test_memory() -> None:
    limits = hosted(Memory=64 << 20, MemorySwappiness=-1, PidsLimit=-1).resources
    assert (limits.memory, limits.memory_swap) == (64 << 20, 128 << 20)
    assert limits.memory_swappiness is None
    assert limits.pids_limit is None
    assert hosted(Memory=64 << 20, MemorySwap=-1).resources.memory_swap == -1


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"ConsoleSize": [1, 2, 3]}, "ConsoleSize"),
        ({"PidMode": "x"}, "invalid PID mode"),
        ({"PidMode": "container:"}, "invalid PID mode"),
        ({"UTSMode": "container:a"}, "invalid UTS mode"),
        ({"CgroupnsMode": "x"}, "invalid cgroup namespace mode"),
        ({"UsernsMode": "x"}, "invalid userns mode"),
        ({"SecurityOpt": ["x"]}, "invalid --security-opt 1"),
        ({"SecurityOpt": ["x=y"]}, "invalid --security-opt 2"),
        ({"SecurityOpt": ["no-new-privileges=x"]}, "invalid --security-opt 2"),
        ({"SecurityOpt": ["seccomp={"]}, "seccomp profile"),
        ({"Isolation": "hyperv"}, "isolation"),
        ({"Binds": ["/a:/x"], "Tmpfs": {"/x": ""}}, "Duplicate mount point: /x"),
    ],
)
def test_what_dockerd_refuses_too(host: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        hosted(**host)


# what it may do ------------------------------------------------------------------------


def test_security() -> None:
    security = hosted(
        CapAdd=["net_admin", "CAP_SYS_TIME", "ALL"],
        CapDrop=["chown"],
        SecurityOpt=["no-new-privileges", "seccomp=unconfined", "apparmor:x"],
        MaskedPaths=[],
        Privileged=True,
        ReadonlyRootfs=True,
    ).security
    assert security.cap_add == ("CAP_NET_ADMIN", "CAP_SYS_TIME", "ALL")
    assert security.cap_drop == ("CAP_CHOWN",)
    assert security.no_new_privileges
    assert security.privileged
    assert security.readonly_rootfs
    assert (security.seccomp, security.apparmor) == ("unconfined", "x")
    assert (security.masked_paths, security.readonly_paths) == ((), None)


def test_seccomp_profile_is_passed_on() -> None:
    profile = '{"defaultAction":"SCMP_ACT_ALLOW"}'
    assert hosted(SecurityOpt=[f"seccomp={profile}"]).security.seccomp == profile


def test_namespaces() -> None:
    host = {
        "NetworkMode": "container:a",
        "PidMode": "container:b",
        "IpcMode": "host",
        "UTSMode": "host",
        "CgroupnsMode": "host",
    }
    assert hosted(**host).namespaces == Namespaces(
        network="container:a", pid="container:b", ipc="host", uts="host", cgroup="host"
    )
    assert hosted(IpcMode="shareable").namespaces == Namespaces()
    assert made(NetworkDisabled=True).namespaces.network == "none"


# nothing is dropped in silence ---------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"HostConfig": {"BlkioWeightDevice": [{}]}}, "BlkioWeightDevice"),
        ({"HostConfig": {"BlkioDeviceReadBps": [{}]}}, "BlkioDeviceReadBps"),
        ({"HostConfig": {"BlkioDeviceReadIOps": [{}]}}, "BlkioDeviceReadIOps"),
        ({"HostConfig": {"CpuRealtimeRuntime": 1}}, "CpuRealtimeRuntime"),
        ({"HostConfig": {"DeviceRequests": [{"Count": -1}]}}, "DeviceRequests"),
        ({"HostConfig": {"StorageOpt": {"size": "1G"}}}, "StorageOpt"),
        ({"HostConfig": {"LogConfig": {"Type": "syslog"}}}, "syslog"),
        ({"HostConfig": {"LogConfig": {"Config": {"labels": "a"}}}}, "labels"),
        ({"HostConfig": {"IpcMode": "none"}}, "IpcMode none"),
        ({"HostConfig": {"SecurityOpt": ["writable-cgroups=true"]}}, "writable-cgroups"),
        (
            {"NetworkingConfig": {"EndpointsConfig": {"bridge": {"DriverOpts": {_OPTION: "b"}}}}},
            _OPTION,
        ),
    ],
)
def test_refused_by_name(body: dict[str, Any], name: str) -> None:
    with pytest.raises(Unimplemented, match=name):
        made(**body)


def test_options_that_nobody_heeds_are_kept() -> None:
    config = made(NetworkingConfig={"EndpointsConfig": {"n": {"DriverOpts": {"a": "b"}}}})
    assert config.networks == (NetworkRequest(network="n", driver_options={"a": "b"}),)


def test_links() -> None:
    """On a network of the user's they are the endpoint's, on the default bridge the host's."""
    config = made(NetworkingConfig={"EndpointsConfig": {"n": {"Links": ["a", "/b:/x/c"]}}})
    assert config.networks == (NetworkRequest(network="n", links=("a:a", "b:c")),)
    assert made(HostConfig={"Links": ["a:b", "a:b", "c"]}).links == ("a:b", "c:c")
    assert made(HostConfig={"Links": ["a:b"], "NetworkMode": "n"}).links == ()
    for bad in (":b", "a:", "a:b:c"):
        with pytest.raises(InvalidArgument, match="bad format for links"):
            made(HostConfig={"Links": [bad]})


def test_a_port_is_published_where_it_is_exposed() -> None:
    config = made(
        HostConfig={"PortBindings": {"80/tcp": [{}], "81/tcp": [{}], "82/udp": [{}]}},
        ExposedPorts={"80/tcp": {}},
    )
    assert [one.container_port for one in create.published(config, ["82/udp"]).ports] == [80, 82]
    assert [one.container_port for one in create.published(config, []).ports] == [80]


def test_log_driver_of_nobody() -> None:
    with pytest.raises(InvalidArgument, match="no log driver named 'x' is registered"):
        made(HostConfig={"LogConfig": {"Type": "x"}})


def test_policies_and_checks_need_no_warning() -> None:
    config, warnings = both(
        HostConfig={"RestartPolicy": {"Name": "always"}}, Healthcheck={"Test": ["CMD", "x"]}
    )
    assert warnings == []
    assert config.restart.name == "always" and config.health is not None


def test_networks_of_the_command_line() -> None:
    endpoint = {"IPAMConfig": None, "Links": None, "Aliases": None, "MacAddress": "02:42:0:0:0:1"}
    config = made(NetworkingConfig={"EndpointsConfig": {"default": endpoint}})
    assert config.mac_address == "02:42:0:0:0:1"
    ipam = {"IPv4Address": "10.0.0.9", "IPv6Address": "fd00::9"}
    app = {"IPAMConfig": ipam, "Aliases": ["a", "b", "a"]}
    config = made(NetworkingConfig={"EndpointsConfig": {"app": app, "other": None}})
    assert config.networks == (
        NetworkRequest(network="app", aliases=("a", "b"), ipv4="10.0.0.9", ipv6="fd00::9"),
        NetworkRequest(network="other"),
    )


@pytest.mark.parametrize("body", [{"Env": ["=x"]}, {"Image": ""}])
def test_bad_process(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        made(**body)


def test_names() -> None:
    assert create.name("/a.b-c_1") == "a.b-c_1"
    assert create.name("") == ""
    for text in ("-a", "a/b", "a", "ä1"):
        with pytest.raises(InvalidArgument, match="Invalid container name"):
            create.name(text)


# execs ---------------------------------------------------------------------------------


def test_exec() -> None:
    text = b'{"Cmd":["a"],"Tty":true,"User":"u","Env":["A=1"],"ConsoleSize":[1,2]}'
    config = create.exec_config(msgspec.json.decode(text, type=ExecBody))
    assert (config.args, config.tty, config.user, config.env) == (("a",), True, "u", ("A=1",))
    assert config.console_size == (1, 2)


@pytest.mark.parametrize("text", [b"{}", b'{"Cmd":[]}', b'{"Cmd":["a"],"WorkingDir":"w"}'])
def test_bad_exec(text: bytes) -> None:
    with pytest.raises(CortenError):
        create.exec_config(msgspec.json.decode(text, type=ExecBody))


def test_volumes() -> None:
    config = made(
        Volumes={"/data": {}},
        HostConfig={"Binds": ["data:/d"], "VolumesFrom": ["a:ro"], "VolumeDriver": "odd"},
    )
    assert config.volumes == ("/data",)
    assert config.volumes_from == ("a:ro",)
    assert config.mounts[0].driver == "odd"
