"""Where a request ends and a raw stream begins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from corten.dockerapi.connection import opens_stream
from corten.dockerapi.wire import Splitter

PLAIN = b"GET /v1.41/info HTTP/1.1\r\nHost: docker\r\n\r\n"
POSTED = b"POST /v1.41/containers/create HTTP/1.1\r\nContent-Length: 5\r\n\r\n{   }"
CHUNKED = (
    b"POST /build HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nPOST \r\n3;x=y\r\n\r\n\r\r\n0\r\nTrailer: x\r\n\r\n"
)
ATTACH = b"POST /v1.41/containers/abc/attach?stream=1 HTTP/1.1\r\nHost: docker\r\n\r\n"
EXEC = b"POST /exec/0ff/start HTTP/1.1\r\ncontent-length:13\r\nUpgrade: tcp\r\n\r\n"
EXEC_CHUNKED = (
    b"POST /exec/0ff/start HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
)
BODY = b'{"Tty": true}'
STREAM = b"GET /not/a/request HTTP/1.1\r\n\r\n\0\1\2"


def split(data: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    """Feed ``data`` in pieces; what went to the parser, and what to the stream."""
    splitter = Splitter(opens_stream)
    http, raw = b"", b""
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    for start, end in zip([0, *ends], ends, strict=False):
        piece = data[start:end]
        count = splitter.feed(piece)
        http += piece[:count]
        raw += piece[count:]
    return http, raw


@given(
    before=st.lists(st.sampled_from([PLAIN, POSTED, CHUNKED]), max_size=3),
    last=st.sampled_from([ATTACH, EXEC + BODY, EXEC_CHUNKED]),
    cuts=st.lists(st.integers(0, 500), max_size=12),
)
def test_stream_begins_behind_its_request_however_the_bytes_arrive(
    before: list[bytes], last: bytes, cuts: list[int]
) -> None:
    requests = b"".join(before) + last
    assert split(requests + STREAM, cuts) == (requests, STREAM)


@given(cuts=st.lists(st.integers(0, 500), max_size=12))
def test_plain_requests_go_to_the_parser_whole(cuts: list[int]) -> None:
    data = PLAIN + POSTED + CHUNKED + PLAIN
    assert split(data, cuts) == (data, b"")


def test_no_http_is_the_parsers_business() -> None:
    data = b"\x16\x03\x01 hello\r\n\r\n" + ATTACH + STREAM
    assert split(data, []) == (data, b"")


def test_endless_head_is_the_parsers_business() -> None:
    splitter = Splitter(opens_stream)
    for _ in range(20):
        assert splitter.feed(b"x" * 8192) == 8192
    assert splitter.feed(ATTACH + STREAM) == len(ATTACH + STREAM)


def test_what_opens_a_stream() -> None:
    assert opens_stream("POST", "/containers/a/attach")
    assert opens_stream("POST", "/v1.24/exec/a/start?x=/y")
    assert not opens_stream("GET", "/containers/a/attach")
    assert not opens_stream("POST", "/containers/a/start")
    assert not opens_stream("POST", "/containers/a/b/attach")
