"""DNS packets, tables of names, the cache, the redirection's bytes: all without a network."""

from __future__ import annotations

import os
from pathlib import Path
from struct import pack, unpack_from

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.kernel import nfnetlink
from corten.launch.dns import packets
from corten.launch.dns.cache import Cache
from corten.launch.dns.guests import parse
from corten.launch.dns.names import Names, Servers, address_of, parse_servers
from corten.launch.dns.packets import Answer, Query


def question(name: str, kind: int = packets.A, *, edns: int = 0, number: int = 0x1234) -> bytes:
    head = pack("!6H", number, 0x0100, 1, 0, 0, 1 if edns else 0)
    tail = b"\0" + pack("!HHIH", packets.OPT, edns, 0, 0) if edns else b""
    return head + packets.write_name(name) + pack("!2H", kind, packets.IN) + tail


def addresses(answer: bytes) -> list[str]:
    """The IPv4 addresses of an answer that we made."""
    query = Query(answer[:2] + b"\1\0" + answer[4:6] + b"\0" * 6 + answer[12:])
    offset, found = 12 + len(query.question), []
    for _ in range(unpack_from("!H", answer, 6)[0]):
        length = unpack_from("!H", answer, offset + 10)[0]
        found.append(".".join(str(b) for b in answer[offset + 12 : offset + 12 + length]))
        offset += 12 + length
    return found


def test_a_question_is_read() -> None:
    query = Query(question("Web.App", edns=1400))
    assert (query.name, query.kind, query.size, query.edns) == ("web.app", packets.A, 1400, True)
    assert Query(question("web")).size == 512


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 11,
        question("web")[:-1],
        question("web")[:14],
        b"\0\0\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1",  # a name that points to itself
        b"\0\0\x81\0\0\1\0\0\0\0\0\0" + question("web")[12:],  # an answer
    ],
)
def test_what_is_no_question_is_none(data: bytes) -> None:
    assert parse(data) is None


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    parse(data)
    try:
        Answer(data)
    except Exception as error:
        assert type(error).__name__ in ("ValueError", "IndexError", "error")


def test_an_answer_that_is_too_long_is_cut() -> None:
    query = Query(question("many"))
    answer = query.reply(0, [packets.record(packets.A, bytes([10, 0, 0, n])) for n in range(60)])
    cut = query.fit(answer)
    assert len(cut) <= 512 and unpack_from("!H", cut, 2)[0] & 0x0200
    assert Answer(cut).cut


TABLE = "network app\nname web 10.7.0.2 fd00::2\nname www 10.7.0.2 10.7.0.3\naddress 10.7.0.2 web\n"


@pytest.fixture
def names(tmp_path: Path) -> Names:
    (tmp_path / "one").write_text(TABLE)
    return Names(str(tmp_path))


def ask(names: Names, name: str, kind: int = packets.A) -> bytes | None:
    return names.answer(["one"], Query(question(name, kind)))


def test_names_of_the_tables(names: Names) -> None:
    for name in ("web", "WEB", "web.app"):
        answer = ask(names, name)
        assert answer is not None and addresses(answer) == ["10.7.0.2"]
    six = ask(names, "web", packets.AAAA)
    assert six is not None and six.endswith(b"\xfd" + bytes(14) + b"\2")
    nothing = ask(names, "www", packets.AAAA)
    assert nothing is not None and unpack_from("!2H", nothing, 4) == (1, 0)  # known, no address
    assert ask(names, "elsewhere") is None
    assert names.answer(["two"], Query(question("web"))) is None


def test_several_addresses_take_turns(names: Names) -> None:
    firsts = {addresses(ask(names, "www") or b"")[0] for _ in range(4)}
    assert firsts == {"10.7.0.2", "10.7.0.3"}


def test_the_way_back(names: Names) -> None:
    answer = ask(names, "2.0.7.10.in-addr.arpa", packets.PTR)
    assert answer is not None and answer.endswith(packets.write_name("web.app"))
    assert ask(names, "9.0.7.10.in-addr.arpa", packets.PTR) is None
    back = "2" + ".0" * 29 + ".d.f.ip6.arpa"
    assert address_of(back) == "fd00::2"
    assert address_of("x.ip6.arpa") == address_of("1.2.in-addr.arpa") == ""


def test_a_table_that_was_replaced_is_read_again(names: Names, tmp_path: Path) -> None:
    assert ask(names, "web") is not None
    (tmp_path / "new").write_text("network app\nname other 10.7.0.9\n")
    (tmp_path / "new").rename(tmp_path / "one")
    assert ask(names, "web") is None
    assert ask(names, "other") is not None
    (tmp_path / "one").unlink()
    assert ask(names, "other") is None


def reply(name: str, ttl: int, *, code: int = 0) -> Answer:
    query = Query(question(name))
    record = packets.record(packets.A, b"\1\2\3\4")
    patched = record[:6] + pack("!I", ttl) + record[10:]
    return Answer(query.reply(code, [patched] if not code else []))


def test_answers_are_kept_and_grow_old(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("corten.launch.dns.cache.monotonic", lambda: now)
    cache = Cache()
    cache.put(("a",), reply("a", 60))
    cache.put(("b",), reply("b", 0))
    cache.put(("c",), reply("c", 60, code=packets.SERVFAIL))
    assert cache.get(("b",), 1) is None and cache.get(("c",), 1) is None
    now += 20
    found = cache.get(("a",), 7)
    assert found is not None and found[:2] == b"\0\7"
    assert Answer(found).ttls[0][1] == 40
    now += 41
    assert cache.get(("a",), 7) is None


def test_how_long_nothing_is_believed() -> None:
    head = Query(question("none.test")).reply(packets.NXDOMAIN)
    soa = (
        packets.write_name("ns.test")
        + packets.write_name("root.test")
        + pack("!5I", 1, 2, 3, 4, 30)
    )
    record = packets.write_name("test") + pack("!HHIH", packets.SOA, 1, 600, len(soa)) + soa
    data = head[:8] + pack("!2H", 1, 0) + head[12:] + record
    assert Answer(data).lifetime == 30


def test_the_hosts_servers(tmp_path: Path) -> None:
    assert parse_servers("# x\nnameserver 127.0.0.53\noptions a\nnameserver ::1\n") == [
        "127.0.0.53",
        "::1",
    ]
    path = tmp_path / "resolv.conf"
    servers = Servers(str(path))
    assert servers.get() == []
    path.write_text("nameserver 192.0.2.1\n")
    assert servers.get() == ["192.0.2.1"]
    os.utime(path, ns=(1, 1))
    path.write_text("nameserver 192.0.2.2\n")
    assert servers.get() == ["192.0.2.2"]


def test_the_redirections_messages_are_whole() -> None:
    messages = nfnetlink.encode("t", "127.0.0.11", 53, udp=1000, tcp=2000)
    assert len(messages) == 8  # begin, table thrice, chain, two rules, end
    for message in messages:
        assert unpack_from("=I", message)[0] == len(message) and len(message) % 4 == 0
    assert pack("!H", 1000) in messages[5] and pack("!H", 2000) in messages[6]
