"""Readers for fields of decoded JSON documents, whose errors name the field.

As Go's decoder, which every peer uses: an unknown field is ignored, ``null`` is absent.
"""

from __future__ import annotations

from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NAMES = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "an integer",
    bool: "true or false",
}


def fail(where: str, problem: str) -> InvalidArgument:
    """The error for field ``where``."""
    return InvalidArgument(f"{where} {problem}")


def typed(value: Any, kind: type, where: str) -> Any:
    """``value``, which must be of ``kind`` (``True`` is no integer)."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise fail(where, f"is {str(value)[:60]!r}, not {_NAMES[kind]}")
    return value


def text(doc: dict[str, Any], key: str, where: str, *, required: bool = False) -> str:
    """A string, ``""`` where absent."""
    value = doc.get(key)
    if value is None:
        if required:
            raise fail(f"{where}.{key}", "is missing")
        return ""
    return str(typed(value, str, f"{where}.{key}"))


def number(doc: dict[str, Any], key: str, where: str, *, required: bool = False) -> int:
    """An integer that is not negative, 0 where absent."""
    value = doc.get(key)
    if value is None:
        if required:
            raise fail(f"{where}.{key}", "is missing")
        return 0
    checked = int(typed(value, int, f"{where}.{key}"))
    if checked < 0:
        raise fail(f"{where}.{key}", f"is {checked}, which is negative")
    return checked


def flag(doc: dict[str, Any], key: str, where: str) -> bool:
    """A truth value, false where absent."""
    value = doc.get(key)
    return False if value is None else bool(typed(value, bool, f"{where}.{key}"))


def table(doc: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    """An object, empty where absent."""
    value = doc.get(key)
    return {} if value is None else dict(typed(value, dict, f"{where}.{key}"))


def array(doc: dict[str, Any], key: str, where: str) -> list[Any]:
    """An array, empty where absent."""
    value = doc.get(key)
    return [] if value is None else list(typed(value, list, f"{where}.{key}"))


def texts(doc: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    """An array of strings, empty where absent."""
    items = array(doc, key, where)
    return tuple([str(typed(v, str, f"{where}.{key}[{i}]")) for i, v in enumerate(items)])


def mapping(doc: dict[str, Any], key: str, where: str) -> dict[str, str]:
    """An object of strings, empty where absent; a ``null`` value is an empty string."""
    found = table(doc, key, where)
    return {
        name: "" if value is None else str(typed(value, str, f"{where}.{key}.{name}"))
        for name, value in found.items()
    }
