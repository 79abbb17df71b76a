"""What a container finds in /etc/hosts and /etc/resolv.conf."""

from __future__ import annotations

from pathlib import Path

import pytest

from corten.errors import InvalidArgument
from corten.networks.files import (
    HostFiles,
    hosts_file,
    parse_resolv_conf,
    read_host_files,
    resolv_file,
)


def host(resolv_conf: str, resolved: str = "") -> HostFiles:
    return HostFiles(hosts="", resolv_conf=resolv_conf, resolved=resolved)


def test_own_name_comes_after_the_extra_hosts() -> None:
    text = hosts_file(
        hostname="web",
        domainname="example.com",
        addresses=["172.17.0.2"],
        extra_hosts=["db:10.0.0.9", "six:::1", "other=10.0.0.8", "here:host-gateway"],
        gateway="172.17.0.1",
    )
    assert text.splitlines()[0] == "127.0.0.1\tlocalhost"
    assert text.splitlines()[6:] == [
        "10.0.0.9\tdb",
        "::1\tsix",
        "10.0.0.8\tother",
        "172.17.0.1\there",
        "172.17.0.2\tweb.example.com web",
    ]


def test_a_dotted_host_name_gives_the_short_one_too() -> None:
    text = hosts_file(hostname="a.b.c", addresses=["10.0.0.2"])
    assert text.splitlines()[-1] == "10.0.0.2\ta.b.c a"


@pytest.mark.parametrize("entry", ["db", "db:", ":10.0.0.1", "db:ten", "a b:10.0.0.1"])
def test_bad_extra_hosts_are_refused(entry: str) -> None:
    with pytest.raises(InvalidArgument, match="bad extra host"):
        hosts_file(extra_hosts=[entry])


def test_host_gateway_needs_a_gateway() -> None:
    with pytest.raises(InvalidArgument, match="no gateway"):
        hosts_file(extra_hosts=["up:host-gateway"])


def test_the_hosts_own_file_is_the_base_in_its_network() -> None:
    text = hosts_file(host="127.0.0.1 localhost special", extra_hosts=["db:10.0.0.9"])
    assert text == "127.0.0.1 localhost special\n10.0.0.9\tdb\n"


def test_malformed_lines_are_ignored() -> None:
    text = "nameserver\nnameserver ten\n# nameserver 1.1.1.1\n;x y\nfoo bar\n nameserver 9.9.9.9\n"
    assert parse_resolv_conf(text).servers == ("9.9.9.9",)


def test_the_last_search_or_domain_counts() -> None:
    assert parse_resolv_conf("search a b\ndomain c\n").search == ("c",)
    assert parse_resolv_conf("domain c\nsearch a b\n").search == ("a", "b")


def test_the_stub_is_replaced_by_what_it_asks() -> None:
    files = host("nameserver 127.0.0.53\noptions edns0\n", "nameserver 10.1.1.1\nsearch lan\n")
    assert resolv_file(files) == "nameserver 10.1.1.1\nsearch lan\n"
    assert resolv_file(files, host_network=True) == "nameserver 127.0.0.53\noptions edns0\n"


def test_loopback_servers_are_left_out_and_fall_back() -> None:
    files = host("nameserver 127.0.0.1\nnameserver ::1\nsearch lan\n")
    assert resolv_file(files) == "nameserver 8.8.8.8\nnameserver 8.8.4.4\nsearch lan\n"
    files = host("nameserver 127.0.0.1\nnameserver 10.0.0.1\n")
    assert resolv_file(files) == "nameserver 10.0.0.1\n"


def test_ipv6_servers_need_ipv6_and_no_zone() -> None:
    files = host("nameserver fe80::1%eth0\nnameserver 2001:db8::1\nnameserver 10.0.0.1\n")
    assert resolv_file(files) == "nameserver 10.0.0.1\n"
    assert resolv_file(files, ipv6=True) == "nameserver 2001:db8::1\nnameserver 10.0.0.1\n"


def test_each_setting_replaces_the_hosts() -> None:
    files = host("nameserver 10.0.0.1\nsearch lan\noptions ndots:2\n")
    text = resolv_file(files, servers=["127.0.0.1"], search=["."], options=["ndots:5", "rotate"])
    assert text == "nameserver 127.0.0.1\noptions ndots:5 rotate\n"


def test_a_server_by_name_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="no IP address"):
        resolv_file(host(""), servers=["dns.google"])


def test_missing_host_files_are_empty(tmp_path: Path) -> None:
    assert read_host_files(str(tmp_path)) == HostFiles("", "", "")
