"""D-Bus messages as far as systemd's manager needs them: bytes in, bytes out, no I/O.

The wire format is that of the D-Bus specification, "Message Protocol"; little endian only,
which is what systemd answers in on every machine that we run on.
"""

from __future__ import annotations

from _struct import pack, unpack_from

from corten.errors import Internal
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

METHOD_CALL, METHOD_RETURN, ERROR, SIGNAL = 1, 2, 3, 4

_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL = 1, 2, 3, 4, 5
_DESTINATION, _SIGNATURE = 6, 8
_FIXED_HEADER = 16
_LARGEST = 128 << 20  # the specification's limit

_ALIGNMENT = {"y": 1, "b": 4, "u": 4, "i": 4, "t": 8, "x": 8, "s": 4, "o": 4, "g": 1, "v": 1}
_ALIGNMENT |= {"a": 4, "(": 8, "{": 8, "n": 2, "q": 2, "d": 8, "h": 4}
_FIXED = {"y": "B", "b": "I", "u": "I", "i": "i", "t": "Q", "x": "q", "n": "h", "q": "H"}
_FIXED |= {"d": "d", "h": "I"}


class Message(Struct):
    """One message. ``reply_to`` is the serial of the call that a return or error answers."""

    kind: int
    serial: int = 0
    path: str = ""
    interface: str = ""
    member: str = ""
    destination: str = ""
    error: str = ""
    reply_to: int = 0
    signature: str = ""
    body: tuple[Any, ...] = ()


def split(signature: str) -> list[str]:
    """The single complete types of a signature."""
    types, at = [], 0
    while at < len(signature):
        end = _end_of_type(signature, at)
        types.append(signature[at:end])
        at = end
    return types


def _end_of_type(signature: str, at: int) -> int:
    while at < len(signature) and signature[at] == "a":
        at += 1
    if at >= len(signature):
        raise Internal(f"D-Bus signature {signature!r} is cut")
    if signature[at] not in "({":
        return at + 1
    depth = 0
    for position in range(at, len(signature)):
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(signature[position], 0)
        if depth == 0:
            return position + 1
    raise Internal(f"D-Bus signature {signature!r} is cut")


def _align(out: bytearray, size: int) -> None:
    out.extend(bytes(-len(out) % size))


def _write(out: bytearray, kind: str, value: Any) -> None:
    """Append one value; a variant is ``(signature, value)``, a structure a tuple."""
    first = kind[0]
    _align(out, _ALIGNMENT[first])
    if first in _FIXED:
        out += pack("<" + _FIXED[first], value)
    elif first in "so":
        raw = value.encode()
        out += pack("<I", len(raw)) + raw + b"\0"
    elif first == "g":
        out += pack("B", len(value)) + value.encode() + b"\0"
    elif first == "v":
        _write(out, "g", value[0])
        _write(out, value[0], value[1])
    elif first == "a":
        at = len(out)
        out += bytes(4)
        _align(out, _ALIGNMENT[kind[1]])
        start = len(out)
        for item in value:
            _write(out, kind[1:], item)
        out[at : at + 4] = pack("<I", len(out) - start)
    else:
        for inner, item in zip(split(kind[1:-1]), value, strict=True):
            _write(out, inner, item)


class _Reader:
    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def read(self, kind: str) -> Any:
        """The next value; the inverse of :func:`_write`, arrays as lists."""
        first = kind[0]
        self.at += -self.at % _ALIGNMENT[first]
        if first in _FIXED:
            code = "<" + _FIXED[first]
            value = unpack_from(code, self.data, self.at)[0]
            self.at += {"B": 1, "h": 2, "H": 2, "I": 4, "i": 4}.get(code[1], 8)
            return bool(value) if first == "b" else value
        if first in "so":
            return self._text(self.read("u"))
        if first == "g":
            return self._text(self.read("y"))
        if first == "v":
            return self.read(self.read("g"))
        if first == "a":
            return self._array(kind[1:])
        return tuple([self.read(inner) for inner in split(kind[1:-1])])

    def _text(self, length: int) -> str:
        text = self.data[self.at : self.at + length].decode("utf-8", "replace")
        self.at += length + 1
        return text

    def _array(self, inner: str) -> list[Any]:
        length = self.read("u")
        self.at += -self.at % _ALIGNMENT[inner[0]]
        end = self.at + length
        if end > len(self.data):
            raise Internal("D-Bus array is longer than its message")
        items = []
        while self.at < end:
            items.append(self.read(inner))
        return items


def encode(message: Message) -> bytes:
    """The bytes of a message."""
    body = bytearray()
    for kind, value in zip(split(message.signature), message.body, strict=True):
        _write(body, kind, value)
    fields: list[tuple[int, tuple[str, Any]]] = []
    for code, kind, value in (
        (_PATH, "o", message.path),
        (_INTERFACE, "s", message.interface),
        (_MEMBER, "s", message.member),
        (_ERROR_NAME, "s", message.error),
        (_REPLY_SERIAL, "u", message.reply_to),
        (_DESTINATION, "s", message.destination),
        (_SIGNATURE, "g", message.signature),
    ):
        if value:
            fields.append((code, (kind, value)))
    out = bytearray(pack("<cBBBII", b"l", message.kind, 0, 1, len(body), message.serial))
    _write(out, "a(yv)", fields)
    _align(out, 8)
    return bytes(out + body)


def decode(data: bytes | bytearray) -> tuple[Message, int] | None:
    """The first message in ``data`` and its length, or None if it is not whole yet.

    Raises:
        Internal: these are no messages of the protocol.
    """
    if len(data) < _FIXED_HEADER:
        return None
    order, kind, _, version, body_length, serial, fields_length = unpack_from("<cBBBIII", data)
    if order != b"l" or version != 1 or body_length + fields_length > _LARGEST:
        raise Internal("systemd answered with something that is not little endian D-Bus 1")
    start = _FIXED_HEADER + fields_length
    start += -start % 8
    if len(data) < start + body_length:
        return None
    try:
        fields = dict(_Reader(bytes(data[:start]), 12).read("a(yv)"))
        signature = fields.get(_SIGNATURE, "")
        reader = _Reader(bytes(data[start : start + body_length]))
        body = tuple([reader.read(item) for item in split(signature)])
    except (KeyError, IndexError, ValueError) as error:
        raise Internal(f"D-Bus message can't be decoded: {error}") from None
    message = Message(
        kind=kind,
        serial=serial,
        path=fields.get(_PATH, ""),
        interface=fields.get(_INTERFACE, ""),
        member=fields.get(_MEMBER, ""),
        destination=fields.get(_DESTINATION, ""),
        error=fields.get(_ERROR_NAME, ""),
        reply_to=fields.get(_REPLY_SERIAL, 0),
        signature=signature,
        body=body,
    )
    return message, start + body_length
