"""The default bridge with real namespaces, packets and nftables, in a host of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from corten.errors import FailedPrecondition, NotFound
from corten.networks import host, records
from corten.networks.service import NetworkService
from corten.networks.types import Attached, NetworkConfig, Port
from corten.store.database import Database
from tests.conftest import needs_root
from tests.e2e.network_lab import HOST, OUTSIDE, Lab, Namespace, ask, echo_server
from tests.support import eventually

pytestmark = needs_root

ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    try:
        yield made
    finally:
        made.close()


async def attach(
    service: NetworkService, name: str, namespace: Namespace, *ports: Port
) -> Attached:
    made = await service.attach(
        name, netns_fd=namespace.fd, netlink_fd=namespace.netlink, ports=ports
    )
    assert made is not None
    return made


def nft(lab: Lab, *words: str) -> str:
    done = lab.host.run(
        lambda: subprocess.run(["nft", *words], capture_output=True, text=True, check=False)
    )
    return done.stdout


def test_a_container_gets_dockers_addresses_and_reaches_the_outside_by_nat(lab: Lab) -> None:
    inside = lab.container()

    async def test(service: NetworkService) -> None:
        made = (await attach(service, ONE, inside)).attachment
        assert (made.ipv4, made.ipv4_prefix, made.gateway4) == ("172.17.0.2", 16, "172.17.0.1")
        assert made.mac_address == "02:42:ac:11:00:02"
        assert made.host_interface.startswith("cafe123v") and len(made.host_interface) == 15
        assert inside.addresses() == ["127.0.0.1/8", "172.17.0.2/16"]
        link = inside.links()["eth0"]
        assert (link.mtu, link.mac_address, link.up) == (1400, "02:42:ac:11:00:02", True)
        lab.outside.run(lambda: echo_server(OUTSIDE, 7000, greeting=b"outside"))
        assert inside.run(lambda: ask(OUTSIDE, 7000)) == f"outside {HOST}"
        assert [n.name for n in service.networks()] == ["bridge", "host", "none"]
        assert (service.networks()[0].nat, service.networks()[0].nat_problem) == ("nftables", "")

    lab.run(test)


def test_containers_reach_each_other_and_the_host(lab: Lab) -> None:
    a, b = lab.container(), lab.container()

    async def test(service: NetworkService) -> None:
        await attach(service, ONE, a)
        await attach(service, TWO, b)
        b.run(lambda: echo_server("0.0.0.0", 80, greeting=b"two"))
        lab.host.run(lambda: echo_server("172.17.0.1", 81, greeting=b"host"))
        assert a.run(lambda: ask("172.17.0.3", 80)) == "two 172.17.0.2"
        assert a.run(lambda: ask("172.17.0.1", 81)) == "host 172.17.0.2"
        assert lab.host.run(lambda: ask("172.17.0.3", 80)) == "two 172.17.0.1"

    lab.run(test)


def test_a_published_port_answers_from_everywhere_but_loopback(lab: Lab) -> None:
    """Loopback is the monitor's relay, whose socket the daemon hands over."""
    a, b = lab.container(), lab.container()

    async def test(service: NetworkService) -> None:
        made = await attach(service, ONE, a, Port(container_port=80, host_port=8080))
        await attach(service, TWO, b)
        a.run(lambda: echo_server("0.0.0.0", 80, greeting=b"one"))
        assert lab.outside.run(lambda: ask(HOST, 8080)) == f"one {OUTSIDE}"
        assert lab.host.run(lambda: ask(HOST, 8080)) == f"one {HOST}"
        assert b.run(lambda: ask(HOST, 8080)).startswith("one ")
        assert b.run(lambda: ask("172.17.0.1", 8080)).startswith("one ")
        assert a.run(lambda: ask(HOST, 8080)).startswith("one ")  # itself, by the host
        assert [(p.host_ip, p.host_port) for p in made.attachment.ports] == [
            ("0.0.0.0", 8080),
            ("::", 8080),
        ]
        assert [listener.target for listener in made.listeners] == [("172.17.0.2", 80)] * 2
        made.close()
        await service.detach(ONE)
        with pytest.raises(OSError):
            lab.outside.run(lambda: ask(HOST, 8080))

    lab.run(test)


def test_a_port_published_at_one_address_is_only_there(lab: Lab) -> None:
    a = lab.container()

    async def test(service: NetworkService) -> None:
        port = Port(container_port=80, host_port=8080, host_ip=HOST)
        loopback = Port(container_port=80, host_port=8081, host_ip="127.0.0.1")
        made = await attach(service, ONE, a, port, loopback)
        a.run(lambda: echo_server("0.0.0.0", 80, greeting=b"one"))
        assert lab.outside.run(lambda: ask(HOST, 8080)) == f"one {OUTSIDE}"
        with pytest.raises(OSError):
            lab.host.run(lambda: ask("127.0.0.1", 8080))
        with pytest.raises(OSError):
            lab.outside.run(lambda: ask(HOST, 8081))
        assert "127.0.0.1" not in nft(lab, "list", "map", "inet", "cafe123", "published4_at")
        made.close()

    lab.run(test)


def test_the_outside_reaches_no_port_that_is_not_published(lab: Lab) -> None:
    a = lab.container()

    async def test(service: NetworkService) -> None:
        await attach(service, ONE, a)
        a.run(lambda: echo_server("0.0.0.0", 80, greeting=b"one"))
        lab.outside.run(
            lambda: subprocess.run(["ip", "route", "add", "172.17.0.0/16", "via", HOST], check=True)
        )
        with pytest.raises(TimeoutError):
            lab.outside.run(lambda: ask("172.17.0.2", 80, timeout=0.5))

    lab.run(test)


def test_a_port_in_use_is_named_with_its_holder_and_nothing_is_left(lab: Lab) -> None:
    a, b = lab.container(), lab.container()

    async def test(service: NetworkService) -> None:
        made = await attach(service, ONE, a, Port(container_port=80, host_port=8080))
        with pytest.raises(
            FailedPrecondition, match="0.0.0.0:8080/tcp is already in use"
        ) as caught:
            await attach(
                service,
                TWO,
                b,
                Port(container_port=81, host_port=8081),
                Port(container_port=80, host_port=8080),
            )
        assert "0.0.0.0:8080/tcp" in caught.value.message
        assert ONE[:12] in caught.value.message
        assert service.attachments(TWO) == ()
        assert "eth0" not in b.links()
        again = await attach(service, TWO, b, Port(container_port=81, host_port=8081))
        made.close()
        again.close()

    lab.run(test)


def test_the_kernel_chooses_a_port_where_none_is_asked_for(lab: Lab) -> None:
    a = lab.container()

    async def test(service: NetworkService) -> None:
        made = await attach(
            service, ONE, a, Port(container_port=80), Port(container_port=53, protocol="udp")
        )
        numbers = [(p.protocol, p.host_port) for p in made.attachment.ports]
        assert len(set(numbers)) == 2 and all(number for _, number in numbers)
        made.close()

    lab.run(test)


def test_a_namespace_that_is_gone_leaves_nothing(lab: Lab) -> None:
    """The attach fails in the middle: everything before it is undone."""
    dead = Namespace()
    os.close(dead.fd)
    dead.fd = os.open("/dev/null", os.O_RDONLY)

    async def test(service: NetworkService) -> None:
        with pytest.raises(Exception, match="add veth"):
            await attach(service, ONE, dead, Port(container_port=80, host_port=8080))
        assert service.attachments(ONE) == ()
        assert not [name for name in lab.host.links() if name.startswith("cafe123v")]
        lab.host.run(lambda: echo_server("0.0.0.0", 8080, greeting=b"free").close())

    lab.run(test)
    dead.close()


def test_none_has_only_loopback_and_others_are_unknown(lab: Lab) -> None:
    a = lab.container()

    async def test(service: NetworkService) -> None:
        nothing = await service.attach(ONE, netns_fd=a.fd, netlink_fd=a.netlink, network="none")
        assert nothing is None
        assert a.links()["lo"].up
        with pytest.raises(NotFound, match="backend"):
            await service.attach(ONE, netns_fd=a.fd, netlink_fd=a.netlink, network="backend")

    lab.run(test)


def test_detach_is_idempotent_and_the_interface_goes(lab: Lab) -> None:
    a = lab.container()

    async def test(service: NetworkService) -> str:
        name = (await attach(service, ONE, a)).attachment.host_interface
        await service.detach(ONE)
        await service.detach(ONE)
        await service.detach(TWO)
        assert service.attachments(ONE) == ()
        return name

    name = lab.run(test)
    assert name not in lab.host.links()


def test_a_daemon_that_comes_later_finds_what_lives_and_removes_the_rest(lab: Lab) -> None:
    a, b = lab.container(), lab.container()

    async def first(service: NetworkService) -> None:
        one = await attach(service, ONE, a, Port(container_port=80, host_port=8080))
        two = await attach(service, TWO, b, Port(container_port=80, host_port=8081))
        one.close()
        two.close()

    lab.run(first)
    a.run(lambda: echo_server("0.0.0.0", 80, greeting=b"one"))

    def spoil() -> None:
        subprocess.run(["nft", "delete", "table", "inet", "cafe123"], check=True)
        subprocess.run(["ip", "link", "set", "cafe1230", "down"], check=True)
        subprocess.run(["ip", "link", "add", "cafe123vffff", "type", "veth"], check=True)

    lab.host.run(spoil)

    async def second(service: NetworkService) -> None:
        assert [x.ipv4 for x in service.attachments(ONE)] == ["172.17.0.2"]
        assert service.attachments(TWO) == ()
        ours = [n for n in lab.host.links() if n.startswith("cafe123v")]
        assert ours == [service.attachments(ONE)[0].host_interface]
        assert lab.outside.run(lambda: ask(HOST, 8080)) == f"one {OUTSIDE}"
        assert "8081" not in nft(lab, "list", "table", "inet", "cafe123")
        fresh = await attach(service, THREE, lab.container())
        assert fresh.attachment.ipv4 == "172.17.0.4"  # .3 has just been given back

    lab.run(second, live=(ONE,))


def test_with_nothing_left_the_bridge_and_the_table_go_too(lab: Lab) -> None:
    a = lab.container()

    async def first(service: NetworkService) -> None:
        await attach(service, ONE, a)
        assert "cafe1230" in lab.host.links()

    async def second(service: NetworkService) -> None:
        assert "cafe1230" not in lab.host.links()
        assert nft(lab, "list", "tables") == ""

    lab.run(first)
    lab.run(second)


def test_a_bridge_that_somebody_removed_is_made_again(lab: Lab) -> None:
    a, b = lab.container(), lab.container()

    async def test(service: NetworkService) -> None:
        await attach(service, ONE, a)
        lab.host.run(lambda: subprocess.run(["ip", "link", "del", "cafe1230"], check=True))
        made = await attach(service, TWO, b)
        assert made.attachment.gateway4 == "172.17.0.1"
        b.run(lambda: echo_server("0.0.0.0", 80, greeting=b"two"))

        def answer() -> str:
            try:
                return lab.host.run(lambda: ask("172.17.0.3", 80))
            except OSError:
                return ""

        eventually(answer, what="the host reaches it over the new bridge")

    lab.run(test)


def test_two_daemons_take_different_subnets(lab: Lab) -> None:
    a, b = lab.container(), lab.container()

    async def first(service: NetworkService) -> None:
        made = await attach(service, ONE, a)
        assert made.attachment.ipv4 == "172.17.0.2"

    async def second(service: NetworkService) -> None:
        made = await attach(service, TWO, b)
        assert made.attachment.ipv4 == "172.18.0.2"

    lab.run(first)
    other = lab.base / "other"
    other.mkdir()
    lab.base = other
    lab.run(second, prefix="cbeef12")


def test_the_configured_subnet_is_used(lab: Lab) -> None:
    a = lab.container()

    async def test(service: NetworkService) -> None:
        made = await attach(service, ONE, a)
        assert made.attachment.ipv4 == "10.77.0.2"
        assert a.links()["eth0"].mtu == 1300

    lab.run(test, config=NetworkConfig(subnet4="10.77.0.0/24", mtu=1300))


def test_a_record_without_an_interface_is_harmless(lab: Lab) -> None:
    """A daemon killed between the record and the effect, whatever became of the container."""
    a, b = lab.container(), lab.container()

    async def first(service: NetworkService) -> None:
        for name, namespace in ((ONE, a), (TWO, b)):
            made = await attach(service, name, namespace)
            link = made.attachment.host_interface
            lab.host.run(partial(host.remove_links, [link]))

    async def second(service: NetworkService) -> None:
        assert len(service.attachments(ONE)) == 1
        assert service.attachments(TWO) == ()
        await service.detach(ONE)
        assert (await attach(service, THREE, lab.container())).attachment.ipv4 == "172.17.0.4"

    lab.run(first)
    lab.run(second, live=(ONE,))


def test_without_nftables_ports_are_left_to_the_relay(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(self: object) -> None:
        raise FailedPrecondition("libnftables is not installed")

    monkeypatch.setattr("corten.kernel.libnftables.Nftables.__init__", absent)
    a = lab.container()

    async def test(service: NetworkService) -> None:
        made = await attach(service, ONE, a, Port(container_port=80, host_port=8080))
        assert len(made.listeners) == 2
        made.close()
        network = service.networks()[0]
        assert (network.nat, network.nat_problem) == ("relay", "libnftables is not installed")
        await service.detach(ONE)

    lab.run(test)


def test_the_host_forwards_and_the_old_setting_is_on_record(lab: Lab) -> None:
    setting = Path("/proc/sys/net/ipv4/ip_forward")
    lab.host.run(partial(setting.write_text, "0"))  # else the machine's is inherited
    a = lab.container()

    async def test(service: NetworkService) -> None:
        await attach(service, ONE, a)

    lab.run(test)
    assert lab.host.run(setting.read_text) == "1\n"
    db = Database(str(lab.base / "corten.db"))
    assert db.read(records.settings) == [(str(setting), "0", "1")]
    db.close()
