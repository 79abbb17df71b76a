"""Framed output to pieces, whatever the pieces in which it comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.errors import DataLoss, InvalidArgument
from corten.spec import frames
from corten.spec.multiplex import Demultiplexer

frame = st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40))


def encode(stream: int, data: bytes) -> bytes:
    return bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data


@given(st.lists(frame, max_size=8), st.integers(1, 50))
def test_any_cut_gives_the_same(sent: list[tuple[int, bytes]], size: int) -> None:
    data = b"".join(encode(*one) for one in sent)
    demultiplexer, got = Demultiplexer(), {1: b"", 2: b""}
    for start in range(0, len(data), size):
        for stream, piece in demultiplexer.feed(data[start : start + size]):
            got[stream] += piece
    assert got == {n: b"".join(d for s, d in sent if s == n) for n in (1, 2)}


@pytest.mark.parametrize("data", [b"\x07\0\0\0\0\0\0\x01x", b"\x01\0\x01\0\0\0\0\x01x"])
def test_what_is_no_frame(data: bytes) -> None:
    with pytest.raises(DataLoss):
        Demultiplexer().feed(data)


line = st.tuples(
    st.integers(0, 2**63), st.sampled_from([1, 2]), st.booleans(), st.binary(max_size=9)
)


@given(st.lists(line, max_size=5))
def test_log_lines_come_back(lines: list[tuple[int, int, bool, bytes]]) -> None:
    payload = b"".join(frames.encode_line(t, s, d, p) for t, s, p, d in lines)
    assert list(frames.decode_lines(payload)) == lines


def test_a_cut_log_record() -> None:
    payload = frames.encode_line(1, 1, b"abc", False)
    for end in (5, len(payload) - 1):
        with pytest.raises(InvalidArgument, match="cut short"):
            list(frames.decode_lines(payload[:end]))


@given(st.lists(st.tuples(st.integers(1, 6), st.binary(max_size=20)), max_size=6),
       st.integers(1, 30))  # fmt: skip
def test_frames_in_any_pieces(sent: list[tuple[int, bytes]], size: int) -> None:
    data = b"".join(frames.encode(kind, 5, payload) for kind, payload in sent)
    reader, got = frames.FrameReader(), []
    for start in range(0, len(data), size):
        got += [(f.kind, f.payload) for f in reader.feed(data[start : start + size])]
    assert got == sent
