"""What is read from the kernel for an explanation, and what follows from records."""

from __future__ import annotations

import os
from pathlib import Path

from corten.engine.explaining import attached, looking
from corten.engine.explaining.running import monitor
from corten.engine.explaining.types import Place, frees
from corten.networks.types import Attachment, Network, Port

END = Attachment(
    id="e", container_id="c" * 64, network="app", network_id="n", interface="eth0",
    host_interface="cortenv1", mac_address="02:42:0a:00:00:02", ipv4="10.0.0.2", ipv4_prefix=24,
    gateway4="10.0.0.1",
    ports=(
        Port(container_port=80, host_port=8080, host_ip="0.0.0.0"),
        Port(container_port=53, host_port=53, host_ip="127.0.0.1", protocol="udp"),
    ),
)  # fmt: skip


def test_a_row_of_mountinfo() -> None:
    row = r"36 35 98:0 /a\040b /data\040x rw,nosuid master:1 - ext4 /dev/sda1 rw,errors=continue"
    found = looking._mount(row)
    assert (found.target, found.source, found.type) == ("/data x", "/dev/sda1:/a b", "ext4")
    assert (found.options, found.kernel) == ("rw,nosuid", False)
    assert looking._mount("1 2 0:5 / /proc rw - proc proc rw").kernel


def test_processes_that_have_ended_are_left_out() -> None:
    found = looking.processes({os.getpid(): "init", 1 << 30: ""})
    assert [(one.pid, one.role) for one in found] == [(os.getpid(), "init")]
    assert found[0].memory > 0
    assert found[0].command


def test_own_namespaces_are_the_machines() -> None:
    found = looking.namespaces(os.getpid(), {"net": "container db"})
    assert {"net", "pid", "mnt"} <= {one.kind for one in found}
    assert {one.whose for one in found} == {"the machine's"}


def test_the_size_of_a_tree_counts_hard_links_once(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    empty = looking.tree_size(str(tmp_path))
    (tmp_path / "d" / "one").write_bytes(b"x" * 100_000)
    whole = looking.tree_size(str(tmp_path))
    os.link(tmp_path / "d" / "one", tmp_path / "two")
    assert empty is not None
    assert whole is not None
    assert whole - empty >= 100_000
    assert looking.tree_size(str(tmp_path)) == whole
    assert looking.tree_size(str(tmp_path / "nothing")) is None


def test_no_monitor_no_roles() -> None:
    assert monitor(0, set()) == {}
    assert monitor(os.getpid(), set())[os.getpid()] == "keeper"


def test_rules_of_published_ports() -> None:
    found = [(one.where, one.what) for one in attached.rules([END], "corten")]
    assert found == [
        ("table inet corten, map published4", "tcp . 8080 : 10.0.0.2 . 80"),
        ("a socket of the monitor", "0.0.0.0:8080/tcp, for what comes by the loopback"),
        ("a socket of the monitor", "127.0.0.1:53/udp, for what comes by the loopback"),
    ]
    assert [one.name for one in attached.links([END])] == ["eth0", "cortenv1"]


def test_a_bridge_that_is_not_there_has_no_rules() -> None:
    network = Network(
        id="n", name="app", driver="bridge", interface="nothere0", subnet4="10.0.0.0/24"
    )
    assert attached.rules_of_network(network, "corten") == []


def test_what_becomes_free() -> None:
    places = (
        Place(what="a", path="/a", size=1, goes="yes"),
        Place(what="b", path="/b", size=2, goes="with -v"),
        Place(what="c", path="/c", size=4),
        Place(what="d", path="/d", goes="yes"),
    )
    assert (frees(places), frees(places, volumes=True)) == (1, 3)
