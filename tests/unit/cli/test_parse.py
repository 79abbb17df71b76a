"""Values of docker's flags."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.cli import parse
from corten.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "value"),
    [("64m", 64 << 20), ("1.5g", 3 << 29), ("1024", 1024), ("2kb", 2048), ("1GiB", 1 << 30),
     ("0", 0)],
)  # fmt: skip
def test_sizes(text: str, value: int) -> None:
    assert parse.size(text) == value


@pytest.mark.parametrize(
    ("text", "seconds"), [("10s", 10), ("1m30s", 90), ("500ms", 0.5), ("0", 0), ("1h", 3600)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse.duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1764000000", 1764000000 * 10**9),
        ("1764000000.5", 1764000000 * 10**9 + 5 * 10**8),
        ("2025-11-24T16:00:00Z", 1764000000 * 10**9),
        ("2025-11-24T16:00:00.000000001Z", 1764000000 * 10**9 + 1),
        ("2025-11-24T17:00:00+01:00", 1764000000 * 10**9),
        ("10m", (1000 - 600) * 10**9),
    ],
)
def test_moments(text: str, value: int) -> None:
    assert parse.moment(text, now=1000.0) == value


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("80", [("", 0, 80, "tcp")]),
        ("8080:80", [("", 8080, 80, "tcp")]),
        ("127.0.0.1:8080:80/udp", [("127.0.0.1", 8080, 80, "udp")]),
        ("127.0.0.1::80", [("127.0.0.1", 0, 80, "tcp")]),
        ("[::1]:8080:80", [("::1", 8080, 80, "tcp")]),
        ("8000-8001:80-81", [("", 8000, 80, "tcp"), ("", 8001, 81, "tcp")]),
    ],
)
def test_ports(entry: str, expected: list[tuple[str, int, int, str]]) -> None:
    got = [
        (p["host_ip"], p["host_port"], p["container_port"], p["protocol"])
        for p in parse.ports((entry,))
    ]
    assert got == expected


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("/a:/b", {"type": "bind", "source": "/a", "target": "/b", "create_source": True,
                   "mode": ""}),
        ("/a:/b:ro,rslave", {"type": "bind", "source": "/a", "target": "/b", "mode": "ro,rslave",
                             "create_source": True, "read_only": True, "propagation": "rslave"}),
        ("data:/b", {"type": "volume", "source": "data", "target": "/b", "mode": "z",
                     "driver": ""}),
        ("data:/b:nocopy", {"type": "volume", "source": "data", "target": "/b", "no_copy": True,
                            "mode": "nocopy", "driver": ""}),
    ],
)  # fmt: skip
def test_volumes(entry: str, expected: dict[str, Any]) -> None:
    assert parse.volume(entry) == expected


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("src=a,dst=/b,volume-nocopy", {"source": "a", "target": "/b", "no_copy": True}),
        ("dst=/b,volume-subpath=x/y", {"target": "/b", "subpath": "x/y"}),
        ('dst=/b,"volume-opt=o=addr=1.2.3.4,rw",volume-opt=type=nfs,volume-label=a',
         {"target": "/b", "driver_options": {"o": "addr=1.2.3.4,rw", "type": "nfs"},
          "labels": {"a": ""}}),
    ],
)  # fmt: skip
def test_volume_mounts(entry: str, expected: dict[str, Any]) -> None:
    assert parse.mount(entry) == {"type": "volume", "mode": "z", **expected}


@pytest.mark.parametrize(
    "entry",
    ["dst=/a,nosuch=1", "src=a", "type=odd,dst=/a", "dst=/a,bind-recursive=readonly", "dst",
     "type=bind,src=/a,dst=/a,volume-nocopy", "dst=/a,readonly=maybe"],
)  # fmt: skip
def test_mounts_that_cant_be(entry: str) -> None:
    with pytest.raises(InvalidArgument):
        parse.mount(entry)


def test_a_relative_volume_is_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse.volume("./x:/y")["source"] == str(tmp_path / "x")


def test_mounts() -> None:
    assert parse.mount("type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave") == {
        "type": "bind", "source": "/a", "target": "/b", "read_only": True,
        "propagation": "rslave",
    }  # fmt: skip
    assert parse.mount("type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=1777") == {
        "type": "tmpfs", "target": "/t", "options": ["size=1048576", "mode=1777"],
    }  # fmt: skip


def test_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HERE", "yes")
    monkeypatch.delenv("ABSENT", raising=False)
    file = tmp_path / "env"
    file.write_text("# comment\n\nA=1\n  B=2 \nHERE\nABSENT\n")
    assert parse.env(("HERE", "ABSENT", "C=a=b"), (str(file),)) == [
        "A=1", "B=2 ", "HERE=yes", "HERE=yes", "ABSENT", "C=a=b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "keys"),
    [("ctrl-p,ctrl-q", b"\x10\x11"), ("a", b"a"), ("ctrl-[,x", b"\x1bx"), ("", b"")],
)
def test_detach_keys(text: str, keys: bytes) -> None:
    assert parse.detach_keys(text) == keys


@pytest.mark.parametrize(
    ("text", "policy"), [("no", ("no", 0)), ("always", ("always", 0)), ("on-failure:3",
                                                                        ("on-failure", 3))],
)  # fmt: skip
def test_restart(text: str, policy: tuple[str, int]) -> None:
    found = parse.restart(text)
    assert (found["name"], found["maximum_retry_count"]) == policy


WRONG: list[tuple[Callable[[str], Any], str]] = [
    (parse.size, "12q"),
    (parse.cpus, "many"),
    (parse.cpus, "-1"),
    (parse.duration, "10 apples"),
    (parse.moment, "2026-99-99"),
    (lambda text: parse.ports((text,)), "x:80"),
    (lambda text: parse.ports((text,)), "80-81:80-82"),
    (lambda text: parse.ports((text,)), "70000"),
    (lambda text: parse.ports((text,)), "80/icmp"),
    (parse.volume, "/a:b"),
    (parse.volume, "/a:/b:/c:/d"),
    (parse.volume, "/a:/b:odd"),
    (parse.mount, "type=bind,src=/a"),
    (parse.mount, "type=bind,colour=red,dst=/a"),
    (parse.device, "/dev/null:/dev/x:q"),
    (parse.ulimit, "nofile"),
    (parse.restart, "on-failure:x"),
    (parse.restart, "always:"),
    (parse.detach_keys, "ctrl-é"),
]


@pytest.mark.parametrize(("function", "text"), WRONG)
def test_wrong_values_are_named(function: Callable[[str], Any], text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        function(text)
    assert caught.value.message


@given(st.text(max_size=30))
def test_nothing_else_escapes(text: str) -> None:
    for function in (
        parse.size, parse.duration, parse.moment, parse.volume, parse.mount, parse.device,
        parse.ulimit, parse.restart, parse.detach_keys, lambda t: parse.ports((t,)),
    ):  # fmt: skip
        try:
            function(text)
        except InvalidArgument:
            pass
