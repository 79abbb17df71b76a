"""How wide text is on a terminal. No I/O.

rich has tables of its own, which it imports at their first use: a warm program can't.
"""

from __future__ import annotations

import unicodedata


def fit(text: str, width: int) -> str:
    """Exactly ``width`` cells of it: cut, or filled up with blanks."""
    if text.isascii():
        return text[:width].ljust(width)
    left = width
    kept: list[str] = []
    for char in text:
        left -= _cells(char)
        if left < 0:
            left += _cells(char)
            break
        kept.append(char)
    return "".join(kept) + " " * left


def _cells(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
