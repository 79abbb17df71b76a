"""The conversation at ``S/cli.sock``, and the detach keys: bytes in, bytes out."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.cli import wire
from corten.cli.takeover import parse_limits
from corten.cli.thin import find_state
from corten.cli.thin_terminal import Scanner

word = st.binary(max_size=20).filter(lambda b: b"\0" not in b)
name = st.binary(min_size=1, max_size=20).filter(lambda b: b"\0" not in b and b"=" not in b)


@given(st.lists(word, max_size=5), st.dictionaries(name, word, max_size=5))
def test_a_request_comes_back(argv: list[bytes], environ: dict[bytes, bytes]) -> None:
    request = wire.Request(version="1", umask=0o22, argv=argv, environ=environ)
    data = wire.encode_request(request)
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    back = wire.decode_request(data[4:])
    assert (back.version, back.umask, back.argv, back.environ) == ("1", 0o22, argv, environ)


@pytest.mark.parametrize("body", [b"", b"corten-cli-0\0" + b"1\0" * 3, b"corten-cli-1\0x"])
def test_other_formats_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="version"):
        wire.decode_request(body)


@given(st.lists(st.tuples(st.sampled_from([b"A", b"X"]), st.binary(max_size=9)), max_size=6),
       st.integers(1, 7))  # fmt: skip
def test_messages_in_any_pieces(messages: list[tuple[bytes, bytes]], size: int) -> None:
    data = b"".join(wire.message(kind, payload) for kind, payload in messages)
    buffer, got = bytearray(), []
    for start in range(0, len(data), size):
        buffer += data[start : start + size]
        while (message := wire.take(buffer)) is not None:
            got.append(message)
    assert got == messages


@pytest.mark.parametrize(
    ("keys", "pieces", "out", "detached"),
    [
        (b"\x10\x11", [b"ab"], b"ab", False),
        (b"\x10\x11", [b"a\x10\x11b"], b"a", True),
        (b"\x10\x11", [b"\x10", b"\x11"], b"", True),
        (b"\x10\x11", [b"\x10", b"x"], b"\x10x", False),
        (b"\x10\x11", [b"\x10\x10\x11"], b"\x10", True),
        (b"q", [b"abq"], b"ab", True),
        (b"", [b"\x10\x11"], b"\x10\x11", False),
    ],
)
def test_detach_keys(keys: bytes, pieces: list[bytes], out: bytes, detached: bool) -> None:
    scanner, sent, found = Scanner(keys), b"", False
    for piece in pieces:
        data, found = scanner.feed(piece)
        sent += data
    assert (sent, found) == (out, detached)


@pytest.mark.parametrize(
    ("argv", "environ", "state"),
    [
        ([], {}, b"/run/corten"),
        ([b"ps"], {b"CORTEN_STATE": b"/s"}, b"/s"),
        ([b"--state", b"/t", b"ps"], {b"CORTEN_STATE": b"/s"}, b"/t"),
        ([b"--state=/t", b"ps"], {}, b"/t"),
        ([b"ps", b"--state", b"/t"], {}, b"/run/corten"),
        ([], {b"CORTEN_HOST": b"unix:///h/corten.sock"}, b"/h"),
        ([], {b"CORTEN_HOST": b"tcp://other:1"}, None),
        ([b"-H", b"ssh://other", b"ps"], {}, None),
        ([], {b"DOCKER_HOST": b"tcp://other:1"}, None),
        ([], {b"DOCKER_HOST": b"tcp://other:1", b"CORTEN_STATE": b"/s"}, b"/s"),
        ([], {b"DOCKER_HOST": b"unix:///run/corten/docker.sock"}, b"/run/corten"),
    ],
)
def test_which_daemon(argv: list[bytes], environ: dict[bytes, bytes], state: bytes | None) -> None:
    assert find_state(argv, environ) == state


def test_limits_of_proc() -> None:

    found = parse_limits(Path("/proc/self/limits").read_text())
    assert len(found) == 14
    for number, pair in found.items():
        assert pair == resource.getrlimit(number)
