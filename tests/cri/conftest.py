"""A real daemon with a CNI network, in a network namespace of its own, and a gRPC client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.network_lab import NetnsDaemon
from tests.harness import REPOSITORY
from tests.support import eventually

subprocess.run([sys.executable, str(REPOSITORY / "tools/gen_proto.py"), "--ensure"], check=True)

from tests.cri.client import IMAGE, Cri, Pod  # noqa: E402 needs the generated modules

PLUGINS = "/usr/lib/cni"


class CriDaemon(NetnsDaemon):
    """One ``cortend`` whose pods are on a CNI bridge of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._write_network()
        self.logs = self.base / "logs"

    def _write_network(self) -> None:
        directory = self.base / "net.d"
        directory.mkdir()
        self.config.write_text(f'[network]\ncni_conf_dir = "{directory}"\n')
        bridge = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(self.base / "ipam"),
                "ranges": [[{"subnet": "10.88.0.0/16"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
        document = {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge, portmap]}
        (directory / "10-pods.conflist").write_text(json.dumps(document))

    def leases(self) -> list[str]:
        """Addresses that the network's IPAM has given."""
        directory = self.base / "ipam/pods"
        if not directory.exists():  # before the first pod
            return []
        return sorted(p.name for p in directory.iterdir() if p.name[0].isdigit())


@pytest.fixture(scope="module")
def cri_daemon() -> Iterator[CriDaemon]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if not Path(PLUGINS, "bridge").exists():
        pytest.skip("needs containernetworking-plugins")
    server = CriDaemon()
    server.start()
    try:
        make_image(server)
        yield server
    finally:
        server.close()


def make_image(server: CriDaemon) -> None:
    """One program that is many: a web server, a client, a shell."""
    from corten.client import Client

    with Client(str(server.state / "corten.sock"), tenant="k8s") as client:
        client.images.from_host(IMAGE, ["/bin/busybox"])


@pytest.fixture
def cri(cri_daemon: CriDaemon) -> Iterator[Cri]:
    """A client; the pods of the test are removed at its end."""
    with Cri(cri_daemon.state / "cri.sock") as client:
        yield client
        client.remove_all()
        eventually(lambda: not cri_daemon.leases(), what="all addresses are free again")


@pytest.fixture
def pod(cri: Cri, cri_daemon: CriDaemon) -> Pod:
    """A pod that is ready."""
    return cri.run_pod("web", log_directory=str(cri_daemon.logs / "web"))
