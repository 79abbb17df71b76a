"""DNS messages (RFC 1035, 6891): as much of them as a resolver needs that asks others. No
I/O; what is malformed raises ``ValueError``."""

from __future__ import annotations

from _struct import pack, unpack_from

A, NS, CNAME, SOA, PTR, AAAA, OPT, ANY = 1, 2, 5, 6, 12, 28, 41, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
TTL = 5  # seconds: of a container's name, whose address may change with a restart

_QR, _AA, _TC, _RD, _RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_MIN_UDP = 512
_MOST_UDP = 4096
_JUMPS = 32


class Query:
    """A question.

    Attributes:
        name: in lower case, without the last dot.
        question: the question's bytes, as they came.
        size: bytes that the asker takes in a datagram.
        edns: it said so.
    """

    __slots__ = ("edns", "flags", "id", "kind", "name", "question", "raw", "size", "space")

    def __init__(self, data: bytes) -> None:
        if len(data) < 12:
            raise ValueError("too short")
        self.raw = data
        self.id, self.flags, questions, _answers, _authorities, extra = unpack_from("!6H", data)
        if self.flags & _QR or questions != 1:
            raise ValueError("no question")
        self.name, end = read_name(data, 12)
        self.kind, self.space = unpack_from("!2H", data, end)
        self.question = data[12 : end + 4]
        self.size, self.edns = _MIN_UDP, False
        if extra:
            self._read_edns(data, end + 4)

    def _read_edns(self, data: bytes, offset: int) -> None:
        name, end = read_name(data, offset)
        kind, size = unpack_from("!2H", data, end)
        if not name and kind == OPT:
            self.edns = True
            self.size = min(max(size, _MIN_UDP), _MOST_UDP)

    @property
    def key(self) -> tuple[bytes, int, bool]:
        """What an answer depends on: question, flags (recursion, checking), the options."""
        return self.question.lower(), self.flags & 0x0110, self.edns

    def reply(self, code: int, records: list[bytes] | None = None, *, own: bool = False) -> bytes:
        """An answer; ``own``: with authority."""
        found = records or []
        flags = _QR | (self.flags & (_RD | 0x7810)) | _RA | (_AA if own else 0) | code
        tail = _options() if self.edns else b""
        head = pack("!6H", self.id, flags, 1, len(found), 0, 1 if tail else 0)
        return head + self.question + b"".join(found) + tail

    def fit(self, answer: bytes) -> bytes:
        """What is too long for a datagram of the asker's is cut: it asks again by TCP."""
        if len(answer) <= self.size:
            return answer
        (flags,) = unpack_from("!H", answer, 2)
        tail = _options() if self.edns else b""
        head = pack("!6H", self.id, flags | _TC, 1, 0, 0, 1 if tail else 0)
        return head + self.question + tail


def _options() -> bytes:
    return b"\0" + pack("!HHIH", OPT, 1232, 0, 0)


def read_name(data: bytes, offset: int) -> tuple[str, int]:
    """A name and where it ends. Compressed ones are followed, not for ever."""
    labels: list[str] = []
    end = -1
    for _ in range(_JUMPS + 128):
        if offset >= len(data):
            raise ValueError("a name is cut off")
        length = data[offset]
        if length & 0xC0 == 0xC0:
            if offset + 1 >= len(data):
                raise ValueError("a name is cut off")
            end = offset + 2 if end < 0 else end
            offset = (length & 0x3F) << 8 | data[offset + 1]
            continue
        if length & 0xC0:
            raise ValueError("a label of an unknown kind")
        offset += 1
        if not length:
            return ".".join(labels), offset if end < 0 else end
        if offset + length > len(data):
            raise ValueError("a name is cut off")
        labels.append(data[offset : offset + length].decode("latin-1").lower())
        offset += length
    raise ValueError("a name without an end")


def write_name(name: str) -> bytes:
    """The bytes of a name, uncompressed."""
    labels = [label.encode("latin-1", "replace")[:63] for label in name.split(".") if label]
    return b"".join([bytes([len(label)]) + label for label in labels]) + b"\0"


def record(kind: int, data: bytes) -> bytes:
    """A record about the question's name."""
    return pack("!HHHIH", 0xC00C, kind, IN, TTL, len(data)) + data


class Answer:
    """What came from a server, as far as it matters here.

    Attributes:
        ttls: where the times to live stand, and what they are.
        lifetime: seconds for which it may be kept; 0: not at all.
    """

    __slots__ = ("code", "cut", "id", "lifetime", "question", "raw", "ttls")

    def __init__(self, data: bytes) -> None:
        if len(data) < 12:
            raise ValueError("too short")
        self.raw = data
        self.id, flags, questions, answers, authorities, extra = unpack_from("!6H", data)
        if not flags & _QR or questions != 1:
            raise ValueError("no answer")
        self.code, self.cut = flags & 0xF, bool(flags & _TC)
        _, end = read_name(data, 12)
        self.question = data[12 : end + 4].lower()
        self.ttls: list[tuple[int, int]] = []
        self.lifetime = self._read(end + 4, answers, authorities, extra)

    def _read(self, offset: int, answers: int, authorities: int, extra: int) -> int:
        lifetimes = []
        for number in range(answers + authorities + extra):
            _, offset = read_name(self.raw, offset)
            kind, _space, ttl, length = unpack_from("!HHIH", self.raw, offset)
            if kind != OPT:
                self.ttls.append((offset + 4, ttl))
            if kind == SOA and number >= answers and not answers:
                # RFC 2308: how long it may be believed that there is nothing.
                minimum = unpack_from("!I", self.raw, offset + 10 + length - 4)[0]
                lifetimes.append(min(ttl, minimum))
            elif number < answers:
                lifetimes.append(ttl)
            offset += 10 + length
        if self.code not in (NOERROR, NXDOMAIN) or self.cut or not lifetimes:
            return 0
        return int(min(lifetimes))

    def renewed(self, number: int, age: int) -> bytes:
        """The bytes for another asker, after so many seconds."""
        data = bytearray(self.raw)
        data[0:2] = pack("!H", number)
        for offset, ttl in self.ttls:
            data[offset : offset + 4] = pack("!I", max(0, ttl - age))
        return bytes(data)
