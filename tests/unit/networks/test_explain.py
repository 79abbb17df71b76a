"""The way of a packet, in words."""

from __future__ import annotations

import pytest

from corten.networks.explain import End, Way, World, explain, listeners
from corten.networks.types import Attachment, Network, Port

NETWORKS = {
    n.id: n
    for n in (
        Network(id="b", name="bridge", driver="bridge", interface="c0", built_in=True),
        Network(id="a", name="app", driver="bridge", interface="cb1", gateway4="10.7.0.1"),
        Network(id="i", name="in", driver="bridge", interface="cb2", internal=True),
        Network(
            id="q", name="quiet", driver="bridge", interface="cb3",
            options={"com.docker.network.bridge.enable_icc": "false"},
        ),
    )
}  # fmt: skip


def end(name: str, network: str, *ports: Port, listening: tuple[str, ...] | None = None) -> End:
    one = Attachment(
        id=name, container_id=name, network=NETWORKS[network].name, network_id=network,
        interface="eth0", host_interface="v", mac_address="", ipv4="10.7.0.2", ipv4_prefix=24,
        gateway4="" if network == "i" else "10.7.0.1", ports=ports,
    )  # fmt: skip
    return End(kind="container", name=name, attachments=(one,), listening=listening)


OUTSIDE, HOST = End(kind="outside", name="1.2.3.4"), End(kind="host", name="host")
WEB = Port(container_port=80, host_ip="0.0.0.0", host_port=8080)
LOCAL = Port(container_port=80, host_ip="127.0.0.1", host_port=8080)


def way(src: End, dst: End, port: int = 80, *, foreign: tuple[tuple[str, bool], ...] = ()) -> Way:
    world = World(table="c", networks=NETWORKS, foreign=foreign)
    return explain(src, dst, port=port, protocol="tcp", world=world)


@pytest.mark.parametrize(
    ("src", "dst", "words"),
    [
        (end("x", "a"), end("y", "b"), "kept apart"),
        (end("x", "q"), end("y", "q"), "hands it over"),
        (end("x", "a"), end("y", "a", listening=()), "nobody listens"),
        (end("x", "a"), end("y", "a", listening=("127.0.0.1",)), "on 127.0.0.1 only"),
        (OUTSIDE, end("y", "a"), "only published ports"),
        (OUTSIDE, end("y", "a", LOCAL), "published at 127.0.0.1 only"),
        (end("x", "i"), OUTSIDE, "no default route"),
        (End(kind="container", name="x"), end("y", "a"), "connected to no network"),
    ],
)
def test_where_it_is_dropped(src: End, dst: End, words: str) -> None:
    found = way(src, dst)
    assert not found.arrives and found.hint
    assert words in found.steps[-1].what and not found.steps[-1].passes
    assert all(step.passes for step in found.steps[:-1])


@pytest.mark.parametrize(
    ("src", "dst", "port"),
    [
        (end("x", "a"), end("y", "a", listening=("0.0.0.0",)), 80),
        (OUTSIDE, end("y", "a", WEB, listening=("::",)), 8080),
        (HOST, end("y", "a", listening=("0.0.0.0",)), 80),
        (end("x", "a"), OUTSIDE, 443),
    ],
)
def test_what_arrives(src: End, dst: End, port: int) -> None:
    found = way(src, dst, port)
    assert found.arrives and found.steps and not found.hint


def test_other_firewalls_are_on_the_way() -> None:
    assert not way(end("x", "a"), OUTSIDE, foreign=(("ip filter FORWARD", False),)).arrives
    accepted = way(end("x", "a"), OUTSIDE, foreign=(("ip filter DOCKER-USER (dockerd)", True),))
    assert accepted.arrives
    assert any("DOCKER-USER" in step.where for step in accepted.steps)


def test_who_listens() -> None:
    four = "head\n 0: 0100007F:0050 00000000:0000 0A x\n 1: 00000000:0051 00000000:0000 0A x\n"
    six = "head\n 0: 00000000000000000000000000000000:0050 0:0 0A x\n"
    assert listeners([four, six], 80) == ("127.0.0.1", "::")
    assert listeners([four], 81) == ("0.0.0.0",)
    assert listeners([four], 82) == ()
