"""Docker's frames."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from corten.dockerapi.frames import STDERR, STDOUT, Decoder, frame


def test_layout() -> None:
    assert frame(STDERR, b"abc") == b"\2\0\0\0\0\0\0\3abc"


@given(
    st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=50)), max_size=5),
    st.integers(1, 20),
)
def test_decoder_takes_apart_what_was_framed(frames: list[tuple[int, bytes]], step: int) -> None:
    data = b"".join(frame(*one) for one in frames)
    decoder = Decoder()
    found = []
    for start in range(0, len(data), step):
        found += decoder.feed(data[start : start + step])
    assert found == frames
