"""The text of the nftables table, and how its elements change."""

from __future__ import annotations

import pytest

from corten.errors import FailedPrecondition
from corten.networks.firewall import BridgeRules, Firewall, Forward, ruleset
from corten.networks.segment import forwards_of
from corten.networks.types import Attachment, Port

WEB = Forward("tcp", "0.0.0.0", 8080, "172.17.0.2", 80)
DNS = Forward("udp", "192.0.2.2", 53, "172.17.0.3", 5353)
BRIDGE = BridgeRules("c0", "172.17.0.0/16")


class FakeNft:
    """Writes down the commands; refuses those that contain a word."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.refuse = ""

    def run(self, commands: str, *, json: bool = False, handles: bool = False) -> str:
        if commands == "list chains":
            return '{"nftables": []}'
        if self.refuse and self.refuse in commands:
            raise FailedPrecondition("nft refused")
        self.ran.append(commands)
        return ""


@pytest.fixture
def nft() -> FakeNft:
    return FakeNft()


@pytest.fixture
def firewall(nft: FakeNft) -> Firewall:
    made = Firewall(lambda: nft, "cafe")
    made.load([BRIDGE], [])
    nft.ran.clear()
    return made


def test_the_table_is_replaced_in_one_transaction() -> None:
    text = ruleset("cafe", [BRIDGE], [WEB, DNS])
    assert text.startswith("add table inet cafe\ndelete table inet cafe\n")
    assert 'elements = { "c0" }' in text
    assert "elements = { tcp . 8080 : 172.17.0.2 . 80 }" in text
    assert "elements = { 192.0.2.2 . udp . 53 : 172.17.0.3 . 5353 }" in text


def test_an_empty_table_has_no_elements() -> None:
    assert "elements" not in ruleset("cafe", [], [])


def test_ports_are_elements(firewall: Firewall, nft: FakeNft) -> None:
    firewall.publish([WEB, DNS])
    firewall.withdraw([WEB])
    firewall.withdraw([WEB])  # nothing to do any more
    assert nft.ran == [
        "add element inet cafe published4 { tcp . 8080 : 172.17.0.2 . 80 }\n"
        "add element inet cafe published4_at { 192.0.2.2 . udp . 53 : 172.17.0.3 . 5353 }\n",
        "delete element inet cafe published4 { tcp . 8080 }\n",
    ]


def test_a_port_that_another_took_over_is_not_withdrawn(firewall: Firewall, nft: FakeNft) -> None:
    firewall.publish([WEB])
    firewall.publish([WEB._replace(target_ip="172.17.0.9")])
    nft.ran.clear()
    firewall.withdraw([WEB])
    assert nft.ran == []


def test_a_table_that_somebody_flushed_is_written_anew(firewall: Firewall, nft: FakeNft) -> None:
    firewall.publish([WEB, DNS])
    nft.ran.clear()
    nft.refuse = "delete element"
    firewall.withdraw([WEB])
    assert nft.ran == [ruleset("cafe", [BRIDGE], [DNS])]


def test_only_what_the_kernel_can_translate_is_forwarded() -> None:
    ports = ("0.0.0.0", "::", "127.0.0.1", "192.0.2.2")
    endpoint = Attachment(
        id="e",
        container_id="c",
        network="bridge",
        network_id="n",
        interface="eth0",
        host_interface="cv1",
        mac_address="02:42:ac:11:00:02",
        ipv4="172.17.0.2",
        ipv4_prefix=16,
        gateway4="172.17.0.1",
        ports=tuple(Port(container_port=80, host_ip=ip, host_port=8080) for ip in ports),
    )
    assert [f.host_ip for f in forwards_of(endpoint)] == ["0.0.0.0", "192.0.2.2"]
