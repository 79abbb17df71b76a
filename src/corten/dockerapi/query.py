"""Query parameters as dockerd reads them. No I/O."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime

import msgspec

from corten.errors import InvalidArgument

Filters = dict[str, list[str]]

_FALSE = frozenset({"", "0", "no", "false", "none"})
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SECONDS = re.compile(r"(-?\d+)(?:\.(\d{1,9})\d*)?")


def flag(values: Mapping[str, str], name: str, default: bool = False) -> bool:
    """A boolean: everything but ``0``, ``no``, ``false``, ``none`` and nothing is true."""
    text = values.get(name)
    return default if text is None else text.strip().lower() not in _FALSE


def integer(values: Mapping[str, str], name: str, default: int | None = None) -> int | None:
    """A decimal number, ``default`` where it is not given.

    Raises:
        InvalidArgument: not a number of 64 bits.
    """
    text = values.get(name, "")
    if not text:
        return default
    try:
        number = int(text)
    except ValueError:
        number = 1 << 64
    if abs(number) >= 1 << 63:
        raise InvalidArgument(f'invalid {name}: "{text}" is not a number')
    return number


def timestamp(values: Mapping[str, str], name: str) -> int:
    """``since`` and ``until``: seconds with a fraction, or RFC 3339; nanoseconds, 0 for none.

    Raises:
        InvalidArgument: neither of the two.
    """
    text = values.get(name, "").strip()
    if not text:
        return 0
    seconds = _SECONDS.fullmatch(text)
    if seconds:
        return int(seconds[1]) * 10**9 + int((seconds[2] or "").ljust(9, "0"))
    try:
        return _nanoseconds(text)
    except ValueError:
        raise InvalidArgument(f'invalid value for {name}: "{text}" is no time') from None


def _nanoseconds(text: str) -> int:
    fraction = re.search(r"\.(\d{1,9})\d*", text)
    whole = text.replace(fraction[0], "") if fraction else text
    moment = datetime.fromisoformat(whole)
    nanoseconds = int(fraction[1].ljust(9, "0")) if fraction else 0
    return int(moment.timestamp()) * 10**9 + nanoseconds


def moment(text: str, now: int) -> int:
    """``until`` of a prune: as :func:`timestamp`, or how long ago: ``10m``, ``1h30m``.

    Arguments:
        now: nanoseconds since the epoch.
    """
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return now - int(sum(float(number) * _UNITS[unit] for number, unit in parts) * 1e9)
    return timestamp({"until": text}, "until")


def filters(text: str, allowed: Collection[str]) -> Filters:
    """The ``filters`` parameter in either of its forms: lists, or maps to ``true``.

    Raises:
        InvalidArgument: not that, or a filter that is not offered.
    """
    if not text:
        return {}
    try:
        given = msgspec.json.decode(text, type=dict[str, list[str] | dict[str, bool] | None])
    except msgspec.DecodeError:
        raise InvalidArgument(f"invalid filters: {text!r} is no map of lists") from None
    wanted: Filters = {}
    for name, values in given.items():
        if name not in allowed:
            raise InvalidArgument(f"invalid filter '{name}'")
        if isinstance(values, dict):
            values = [value for value, on in values.items() if on]
        if values:
            wanted[name] = values
    return wanted


def match_labels(wanted: Collection[str], labels: Mapping[str, str]) -> bool:
    """Whether ``labels`` has all of ``wanted``, each ``key`` or ``key=value``."""
    for want in wanted:
        key, given, value = want.partition("=")
        if key not in labels or (given and labels[key] != value):
            return False
    return True
