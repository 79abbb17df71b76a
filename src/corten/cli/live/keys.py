"""Bytes of a terminal in raw mode as names of keys. No I/O."""

from __future__ import annotations

_SEQUENCES = {
    b"\x1b[A": "up", b"\x1b[B": "down", b"\x1bOA": "up", b"\x1bOB": "down",
    b"\x1b[5~": "page up", b"\x1b[6~": "page down",
    b"\x1b[H": "home", b"\x1b[F": "end", b"\x1bOH": "home", b"\x1bOF": "end",
    b"\x1b[1~": "home", b"\x1b[4~": "end",
}  # fmt: skip
_CONTROL = {
    3: "ctrl-c",
    12: "ctrl-l",
    10: "enter",
    13: "enter",
    27: "escape",
    127: "back",
    8: "back",
}
_LONGEST = 16  # bytes of a sequence that nobody knows


def keys(data: bytes) -> list[str]:
    """The keys in what was read at once; what is no key of ours is left out."""
    found = []
    while data:
        name, length = _next(data)
        if name:
            found.append(name)
        data = data[length:]
    return found


def _next(data: bytes) -> tuple[str, int]:
    for sequence, name in _SEQUENCES.items():
        if data.startswith(sequence):
            return name, len(sequence)
    if data[:2] in (b"\x1b[", b"\x1bO"):
        for index, byte in enumerate(data[2:_LONGEST], start=3):
            if 0x40 <= byte <= 0x7E:  # ECMA-48: the final byte
                return "", index
        return "", len(data)
    byte = data[0]
    if byte in _CONTROL:
        return _CONTROL[byte], 1
    return (chr(byte) if 0x20 <= byte < 0x7F else ""), 1
