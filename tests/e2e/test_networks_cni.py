"""Pods' networks by Debian's CNI plugins, in a host of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.errors import CortenError, FailedPrecondition, NotFound
from corten.networks import pins
from corten.networks.service import NetworkService
from corten.networks.types import NetworkConfig, PodNetwork, PodPort
from tests.conftest import needs_root
from tests.e2e.network_lab import HOST, OUTSIDE, Lab, Namespace, ask, echo_server

PLUGINS = "/usr/lib/cni"
POD, OTHER = "a" * 64, "b" * 64

pytestmark = [
    needs_root,
    pytest.mark.skipif(
        not os.path.exists(f"{PLUGINS}/bridge"), reason="needs containernetworking-plugins"
    ),
]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    (tmp_path / "net.d").mkdir()
    try:
        yield made
    finally:
        pins.sweep(str(tmp_path / "netns"), ())
        made.close()


def write_network(lab: Lab, *more: dict[str, object], version: str = "1.0.0") -> None:
    bridge = {
        "type": "bridge",
        "bridge": "cni-test0",
        "isGateway": True,
        "ipMasq": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(lab.base / "ipam"),
            "ranges": [[{"subnet": "10.88.0.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    document = {"cniVersion": version, "name": "pods", "plugins": [bridge, *more]}
    (lab.base / "net.d" / "10-pods.conflist").write_text(json.dumps(document))


def config(lab: Lab, *directories: str) -> NetworkConfig:
    return NetworkConfig(
        cni_conf_dir=str(lab.base / "net.d"), cni_bin_dirs=(*directories, PLUGINS), cni_timeout=20
    )


async def add(
    service: NetworkService, namespace: Namespace, pod: str = POD, *ports: PodPort
) -> PodNetwork:
    return await service.add_pod(
        pod, netns_fd=namespace.fd, name="web", namespace="default", uid="u1", ports=ports
    )


def leases(lab: Lab) -> list[str]:
    directory = lab.base / "ipam" / "pods"
    return sorted(p.name for p in directory.iterdir() if p.name[0].isdigit())


def test_a_pod_is_connected_pinned_and_freed(lab: Lab) -> None:
    # (No CHECK here: Debian's portmap 1.1.1 looks for an IPv6 chain that it never made.)
    write_network(lab, {"type": "portmap", "capabilities": {"portMappings": True}})
    inside = lab.container()

    async def test(service: NetworkService) -> None:
        assert (await service.pod_status()).ready
        made = await add(service, inside, POD, PodPort(container_port=80, host_port=8080))
        assert made.ips == ("10.88.0.2",)
        assert made.network == "pods"
        assert pins.is_pinned(made.netns_path)
        assert made.netns_path.startswith(f"{lab.base}/netns/cni-")
        assert inside.links()["eth0"].up
        inside.run(lambda: echo_server("0.0.0.0", 80, greeting=b"pod"))
        assert lab.outside.run(lambda: ask(HOST, 8080)) == f"pod {OUTSIDE}"
        assert await add(service, inside) == made  # idempotent
        await service.remove_pod(POD)
        await service.remove_pod(POD)
        assert service.pod_network(POD) is None
        assert "eth0" not in inside.links()
        assert os.listdir(lab.base / "netns") == []
        assert leases(lab) == []
        with pytest.raises(NotFound):
            await service.check_pod(POD)

    lab.run(test, config=config(lab))


def test_check_finds_what_is_broken(lab: Lab) -> None:
    write_network(lab)
    inside = lab.container()

    async def test(service: NetworkService) -> None:
        await add(service, inside)
        await service.check_pod(POD)
        inside.run(lambda: subprocess.run(["ip", "addr", "flush", "dev", "eth0"], check=True))
        with pytest.raises(CortenError, match="CNI plugin bridge CHECK"):
            await service.check_pod(POD)
        await service.remove_pod(POD)

    lab.run(test, config=config(lab))


def test_a_failed_add_undoes_what_the_first_plugins_did(lab: Lab) -> None:
    plugins = lab.base / "bin"
    plugins.mkdir()
    broken = plugins / "broken"
    broken.write_text(
        "#!/bin/sh\n[ $CNI_COMMAND = DEL ] && exit 0\n"
        'echo \'{"code": 11, "msg": "not now", "details": "ask later"}\'\nexit 1\n'
    )
    broken.chmod(0o755)
    write_network(lab, {"type": "broken"})
    inside = lab.container()

    async def test(service: NetworkService) -> None:
        with pytest.raises(CortenError, match="not now: ask later") as caught:
            await add(service, inside)
        assert caught.value.code == "unavailable"
        assert service.pod_network(POD) is None
        assert leases(lab) == []
        assert "eth0" not in inside.links()
        assert os.listdir(lab.base / "netns") == []

    lab.run(test, config=config(lab, str(plugins)))


def test_a_daemon_that_comes_later_keeps_the_living_and_frees_the_dead(lab: Lab) -> None:
    write_network(lab)
    a, b = lab.container(), lab.container()

    async def first(service: NetworkService) -> None:
        await add(service, a, POD)
        await add(service, b, OTHER)

    async def second(service: NetworkService) -> None:
        kept = service.pod_network(POD)
        assert kept is not None and kept.ips == ("10.88.0.2",)
        assert service.pod_network(OTHER) is None
        assert leases(lab) == ["10.88.0.2"]
        assert [str(p) for p in (lab.base / "netns").iterdir()] == [kept.netns_path]
        await service.check_pod(POD)
        await service.remove_pod(POD)

    lab.run(first, config=config(lab))
    (lab.base / "net.d" / "10-pods.conflist").unlink()  # DEL uses the configuration of the ADD
    pins.pin(str(lab.base / "netns" / "cni-stray"), a.fd)
    lab.run(second, live=(POD,), config=config(lab))


def test_after_a_reboot_the_leases_are_freed(lab: Lab) -> None:
    write_network(lab)
    inside = lab.container()

    async def first(service: NetworkService) -> None:
        await add(service, inside)

    async def second(service: NetworkService) -> None:
        assert leases(lab) == []

    lab.run(first, config=config(lab))
    pins.sweep(str(lab.base / "netns"), ())
    lab.run(second, config=config(lab))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no CNI configuration"),
        ("{", "is not JSON"),
        ('{"cniVersion": "9.0.0", "name": "x", "plugins": [{"type": "bridge"}]}', "9.0.0"),
        ('{"cniVersion": "1.0.0", "name": "x", "plugins": [{"type": "nope"}]}', "'nope'"),
    ],
)
def test_without_a_usable_network_pods_are_refused_and_the_status_says_why(
    lab: Lab, content: str, message: str
) -> None:
    if content:
        (lab.base / "net.d" / "10-x.conflist").write_text(content)

    async def test(service: NetworkService) -> None:
        status = await service.pod_status()
        assert (status.ready, status.reason) == (False, "NetworkPluginNotReady")
        assert message in status.message
        with pytest.raises(FailedPrecondition, match=message):
            await add(service, lab.container())

    lab.run(test, config=config(lab))
