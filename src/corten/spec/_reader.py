"""Reading a decoded JSON object field by field, with the field's path in every error."""

from __future__ import annotations

from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_NOTHING: dict[str, Any] = {}


class Reader:
    """One JSON object. An absent member and ``null`` mean the same, as in the standards.

    Strings with a NUL byte are refused everywhere: the kernel would cut them silently.
    """

    __slots__ = ("data", "path")

    def __init__(self, data: Any, path: str = "") -> None:
        if data is None:
            data = _NOTHING
        if not isinstance(data, dict):
            raise InvalidArgument(f"{path or 'the document'} is not an object", path=path)
        self.data: dict[str, Any] = data
        self.path = path

    def where(self, name: str) -> str:
        """The full name of a member, as ``process.user.uid``."""
        return f"{self.path}.{name}" if self.path else name

    def fail(self, name: str, problem: str) -> InvalidArgument:
        """The error to raise about a member."""
        where = self.where(name)
        return InvalidArgument(f"{where} {problem}", path=where)

    def has(self, name: str) -> bool:
        return self.data.get(name) is not None

    def text(self, name: str, default: str | None = "") -> str:
        """A string; with ``default`` None it must be there and not be empty."""
        value = self.data.get(name)
        if value is None or (value == "" and default is None):
            if default is None:
                raise self.fail(name, "is missing")
            return default
        return self._checked(name, value)

    def _checked(self, name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise self.fail(name, "is not a string")
        if "\0" in value:
            raise self.fail(name, "holds a NUL byte")
        return value

    def choice(self, name: str, known: Any, default: str = "") -> str:
        """A string that is in ``known``; absent or empty: ``default``, unchecked."""
        value = self.text(name) or default
        if value and value not in known:
            raise self.fail(name, f"has the unknown value {value!r}")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.data.get(name, default)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.fail(name, "is not true or false")
        return value

    def whole(self, name: str, default: int | None = 0, *, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``; with ``default`` None it must be there."""
        value = self.data.get(name)
        if value is None:
            if default is None:
                raise self.fail(name, "is missing")
            return default
        # JSON knows one kind of number; writers of 1e3 or 5.0 mean an integer here
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.fail(name, "is not an integer")
        if not low <= value <= high:
            raise self.fail(name, f"is {value}, beyond {low} to {high}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        value = self.data.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.fail(name, "is not a list")
        return tuple([self._checked(f"{name}[{i}]", item) for i, item in enumerate(value)])

    def wholes(self, name: str, *, low: int, high: int) -> tuple[int, ...]:
        """A list of integers."""
        value = self.data.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.fail(name, "is not a list")
        items = Reader({f"{name}[{i}]": item for i, item in enumerate(value)}, self.path)
        return tuple([items.whole(key, None, low=low, high=high) for key in items.data])

    def text_map(self, name: str) -> dict[str, str]:
        """An object of strings."""
        inner = self.object(name)
        for key in inner.data:
            if "\0" in key:
                raise inner.fail(repr(key), "holds a NUL byte")
        return {key: inner.text(key) for key in inner.data}

    def object(self, name: str) -> Reader:
        """A member that is an object; an empty one where it is absent."""
        return Reader(self.data.get(name), self.where(name))

    def objects(self, name: str) -> Iterator[Reader]:
        """The items of a list of objects."""
        value = self.data.get(name)
        if value is None:
            return
        if not isinstance(value, list):
            raise self.fail(name, "is not a list")
        for i, item in enumerate(value):
            yield Reader(item, f"{self.where(name)}[{i}]")
