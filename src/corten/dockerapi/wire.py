"""Where an HTTP/1.1 request ends: found without parsing more of it than that. No I/O.

Attach and exec turn their connection into a raw stream, and a client may send the stream's
first bytes right behind the request, with or without ``Upgrade``. HTTP parsers read ahead and
take them for a request. So :class:`Splitter` stands before the parser and cuts there.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_LIMIT = 64 << 10  # a head or chunk size line longer than this is for the parser to refuse
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_CHUNKED = re.compile(rb"\ntransfer-encoding:[^\n]*\bchunked[ \t]*\r?\n", re.IGNORECASE)
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r?\n", re.IGNORECASE)
_TARGET = re.compile(rb"(?:\r?\n)*([A-Z]+) (\S+) HTTP/1\.")

_HEAD, _BODY, _CHUNK_LINE, _CHUNK, _TRAILER, _RAW, _BLIND = range(7)


class Splitter:
    """Follows one connection's requests.

    Arguments:
        takes_over: told method and target of a request, says whether a raw stream follows it.
    """

    def __init__(self, takes_over: Callable[[str, str], bool]) -> None:
        self._takes_over = takes_over
        self._state = _HEAD
        self._line = bytearray()
        self._left = 0
        self._wanted = False

    @property
    def raw(self) -> bool:
        """Whether the request that opens a raw stream is complete."""
        return self._state == _RAW

    def feed(self, data: bytes) -> int:
        """How many of the next bytes belong to requests; the rest is the raw stream's.

        What is no HTTP is left to the parser, whole, from there on.
        """
        at = 0
        while at < len(data) and self._state not in (_RAW, _BLIND):
            at = self._step(data, at)
        return at if self._state == _RAW else len(data)

    def _next_request(self) -> None:
        self._state = _HEAD
        self._line.clear()

    def _step(self, data: bytes, at: int) -> int:
        if self._state == _HEAD:
            return self._head(data, at)
        if self._state in (_BODY, _CHUNK):
            taken = min(self._left, len(data) - at)
            self._left -= taken
            if not self._left:
                if self._state == _BODY:
                    self._end()
                else:
                    self._state = _CHUNK_LINE
            return at + taken
        return self._lines(data, at)

    def _head(self, data: bytes, at: int) -> int:
        before = len(self._line)
        self._line += data[at:]
        end = _HEAD_END.search(self._line, max(0, before - 3))
        if not end:
            if len(self._line) > _LIMIT:
                self._state = _BLIND
            return len(data)
        head = bytes(self._line[: end.end()])
        self._line.clear()
        self._begin(head)
        return at + end.end() - before

    def _begin(self, head: bytes) -> None:
        target = _TARGET.match(head)
        if not target:
            self._state = _BLIND
            return
        self._wanted = self._takes_over(target[1].decode("latin-1"), target[2].decode("latin-1"))
        length = _LENGTH.search(head)
        if _CHUNKED.search(head):
            self._state = _CHUNK_LINE
        elif length and int(length[1]):
            self._state, self._left = _BODY, int(length[1])
        else:
            self._end()

    def _lines(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at)
        if end < 0:
            self._line += data[at:]
            if len(self._line) > _LIMIT:
                self._state = _BLIND
            return len(data)
        line = bytes(self._line + data[at:end]).strip()
        self._line.clear()
        if self._state == _TRAILER:
            if not line:
                self._end()
        else:
            self._chunk_line(line)
        return end + 1

    def _chunk_line(self, line: bytes) -> None:
        try:
            size = int(line.split(b";")[0], 16)
        except ValueError:
            self._state = _BLIND
            return
        if size < 0:
            self._state = _BLIND
        elif size:
            self._state, self._left = _CHUNK, size + 2  # its line end too
        else:
            self._state = _TRAILER

    def _end(self) -> None:
        if self._wanted:
            self._state = _RAW
            self._line.clear()
        else:
            self._next_request()
