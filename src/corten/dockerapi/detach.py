"""Detach keys: parsing their names, and finding them in what is typed. No I/O."""

from __future__ import annotations

from corten.errors import InvalidArgument

DEFAULT = "ctrl-p,ctrl-q"
_NAMED = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def parse(text: str) -> bytes:
    """The bytes of a key sequence: single characters and ``ctrl-X``, between commas.

    Arguments:
        text: empty for the default.
    Raises:
        InvalidArgument: a key that is none.
    """
    return bytes(_code(key) for key in (text or DEFAULT).split(","))


def _code(key: str) -> int:
    if len(key) == 1 and key.isascii():
        return ord(key)
    letter = key.lower().removeprefix("ctrl-") if key.lower().startswith("ctrl-") else ""
    if len(letter) == 1 and "a" <= letter <= "z":
        return ord(letter) - ord("a") + 1
    if letter in _NAMED:
        return _NAMED[letter]
    raise InvalidArgument(f"Unknown character: '{key}'")


class Scanner:
    """Watches a stream for a key sequence.

    A beginning of the sequence is held back until it is clear whether the rest follows, as
    dockerd does: a held key reaches the program with the next one.

    Arguments:
        keys: the sequence; empty for none.
    """

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = 0  # how many bytes of the sequence have been seen

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What to pass on, and whether the sequence is complete; then the rest is dropped."""
        keys = self._keys
        if not keys or (not self._held and keys[0] not in data):
            return data, False
        out = bytearray()
        for byte in data:
            if byte == keys[self._held]:
                self._held += 1
                if self._held == len(keys):
                    return bytes(out), True
                continue
            out += keys[: self._held]
            self._held = 1 if byte == keys[0] else 0
            if not self._held:
                out.append(byte)
        return bytes(out), False

    def flush(self) -> bytes:
        """What is still held back at the end of the stream."""
        held, self._held = self._keys[: self._held], 0
        return held
