"""Records as plain data, which ``marshal`` takes, and back: for another process of the same
version and interpreter, and for nothing that is kept."""

from __future__ import annotations

import marshal

from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# A list stands for what a reader has to make: the first item says what, the items follow. All
# else is what it is, so that a reader need not look into it.
_TUPLE, _LIST, _DICT = 0, 1, 2  # or a record's class by its name, before its fields


def dumps(value: Any) -> bytes:
    """Records, tuples, lists, dictionaries, frozen sets and scalars as bytes."""
    return marshal.dumps(_plain(value))


def loads(data: bytes) -> Any:
    """Inverse of :func:`dumps`. The records' modules are imported already."""
    return _Reader().value(marshal.loads(data))  # noqa: S302  # from a process of our own


def _plain(value: Any) -> Any:
    if isinstance(value, Struct):
        return [_name(type(value)), *[_plain(item) for item in value._values()]]
    if isinstance(value, tuple):
        items = [_plain(item) for item in value]
        return [_TUPLE, *items] if list in map(type, items) else value
    if isinstance(value, list):
        return [_LIST, *[_plain(item) for item in value]]
    if isinstance(value, dict):
        plain = {key: _plain(item) for key, item in value.items()}
        return [_DICT, plain] if list in map(type, plain.values()) else value
    return value


def _name(cls: type[Struct]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


class _Reader:
    def __init__(self) -> None:
        self.classes = {_name(cls): cls for cls in Struct.__subclasses__()}

    def value(self, value: Any) -> Any:
        return self._make(value) if type(value) is list else value

    def _make(self, value: list[Any]) -> Any:
        kind = value[0]
        if kind == _DICT:
            return {key: self.value(item) for key, item in value[1].items()}
        items = [self._make(item) if type(item) is list else item for item in value[1:]]
        if kind == _TUPLE:
            return tuple(items)
        return items if kind == _LIST else self._record(self.classes[kind], items)

    @staticmethod
    def _record(cls: type[Struct], items: list[Any]) -> Struct:
        record = cls.__new__(cls)
        put = object.__setattr__
        for name, item in zip(cls._fields, items, strict=True):
            put(record, name, item)
        return record
