"""Signals by name and number."""

from __future__ import annotations

import _signal

from corten.errors import InvalidArgument

TYPE_CHECKING = False

_RTMIN, _RTMAX = _signal.SIGRTMIN, _signal.SIGRTMAX


def number_of(text: str) -> int:
    """``TERM``, ``SIGTERM``, ``sigterm``, ``15``, ``SIGRTMIN+3``.

    Raises:
        InvalidArgument: no such signal.
    """
    if text.isdigit() and int(text) <= _RTMAX:
        return int(text)
    name = text.upper().removeprefix("SIG")
    base, plus, offset = name.partition("+")
    if not plus and "-" in name:  # SIGRTMAX-2
        base, _, offset = name.partition("-")
        offset = f"-{offset}"
    number = getattr(_signal, f"SIG{base}", None) if base.isalnum() else None
    if isinstance(number, int):
        if not offset:
            return int(number)
        if base in ("RTMIN", "RTMAX") and offset.removeprefix("-").isdigit():
            number = int(number) + int(offset)
            if _RTMIN <= number <= _RTMAX:
                return number
    raise InvalidArgument(f'unknown signal "{text}"')
