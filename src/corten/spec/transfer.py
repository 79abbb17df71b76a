"""Records as plain data, which ``marshal`` takes, and back: for another process of the same
version and interpreter, and for nothing that is kept."""

from __future__ import annotations

import marshal

from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# First item of a tuple that stands for a record; the class's name and the fields follow.
_RECORD = ...


def dumps(value: Any) -> bytes:
    """Records, tuples, dictionaries, frozen sets and scalars as bytes."""
    return marshal.dumps(_plain(value))


def loads(data: bytes) -> Any:
    """Inverse of :func:`dumps`. The records' modules are imported already."""
    return _Reader().value(marshal.loads(data))  # noqa: S302  # from a process of our own


def _plain(value: Any) -> Any:
    if isinstance(value, Struct):
        fields = [_plain(item) for item in value._values()]
        return (_RECORD, _name(type(value)), *fields)
    if isinstance(value, (tuple, list)):
        return type(value)([_plain(item) for item in value])
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _name(cls: type[Struct]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


class _Reader:
    def __init__(self) -> None:
        self.classes = {_name(cls): cls for cls in Struct.__subclasses__()}

    def value(self, value: Any) -> Any:
        kind = type(value)
        if kind is tuple:
            if value and value[0] is _RECORD:
                return self._record(self.classes[value[1]], value)
            return tuple([self.value(item) for item in value])
        if kind is list:
            return [self.value(item) for item in value]
        if kind is dict:
            return {key: self.value(item) for key, item in value.items()}
        return value

    def _record(self, cls: type[Struct], value: tuple[Any, ...]) -> Struct:
        record = cls.__new__(cls)
        put = object.__setattr__
        for name, item in zip(cls._fields, value[2:], strict=True):
            kind = type(item)
            put(record, name, self.value(item) if kind in (tuple, list, dict) else item)
        return record
