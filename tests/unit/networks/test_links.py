"""Names of other containers that one container alone knows."""

from __future__ import annotations

import os
from pathlib import Path

from corten.networks import files, names
from corten.networks.types import Attachment


def endpoint(container: str, ipv4: str, *called: str, links: tuple[str, ...] = ()) -> Attachment:
    return Attachment(
        id="e" + container,
        container_id=container,
        network="net",
        network_id="n",
        interface="eth0",
        host_interface="v",
        mac_address="",
        ipv4=ipv4,
        ipv4_prefix=24,
        gateway4="10.0.0.1",
        names=called,
        links=links,
    )


def test_table_of_links() -> None:
    web = endpoint("aaa", "10.0.0.2", "web", links=("DB:Database", "bbb:other", "gone:x", "db:a b"))
    table = names.of_links("Net", web, [web, endpoint("bbb", "10.0.0.3", "db", "postgres")])
    assert table.splitlines() == [
        "network net",
        "name database 10.0.0.3",
        "name other 10.0.0.3",
    ]


def test_tables_of_links_go_with_their_container_or_network(tmp_path: Path) -> None:
    tables = names.Tables(str(tmp_path))
    for name in ("n", "n.aaa", "n.bbb", "m", "m.aaa"):
        tables.write(name, "")
    tables.sweep_links("n", ["n.bbb"])
    assert sorted(os.listdir(tmp_path)) == ["m", "m.aaa", "n", "n.bbb"]
    tables.sweep(["n"])
    assert sorted(os.listdir(tmp_path)) == ["n", "n.bbb"]


def test_links_in_etc_hosts() -> None:
    text = files.hosts_file(hostname="me", addresses=["172.17.0.2"], links=[("172.17.0.3", "db d")])
    assert text.endswith("172.17.0.3\tdb d\n172.17.0.2\tme\n")
    moved = files.renamed(text, "db d", ["172.17.0.9"])
    assert "172.17.0.3" not in moved and "172.17.0.9\tdb d\n" in moved
    assert "172.17.0.2\tme\n" in moved
