"""Which handler answers a method and path: a table, no I/O.

A pattern is a path whose ``{name}`` parts match one segment, and ``{name*}`` parts any
number of them (image names contain slashes). Patterns are tried in the order given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

H = TypeVar("H")


class Match(NamedTuple, Generic[H]):
    """A route that was found."""

    handler: H
    pattern: str
    params: dict[str, str]


class Router(Generic[H]):
    """An immutable table of routes.

    Arguments:
        routes: method, pattern, handler.
    """

    def __init__(self, routes: Iterable[tuple[str, str, H]]) -> None:
        self._by_method: dict[str, list[tuple[re.Pattern[str], str, H]]] = {}
        for method, pattern, handler in routes:
            entry = (_compile(pattern), pattern, handler)
            self._by_method.setdefault(method, []).append(entry)

    def match(self, method: str, path: str) -> Match[H] | None:
        """The first route for ``method`` whose pattern is ``path``, or ``None``."""
        for expression, pattern, handler in self._by_method.get(method, ()):
            found = expression.fullmatch(path)
            if found:
                return Match(handler, pattern, found.groupdict())
        return None

    def patterns(self) -> set[tuple[str, str]]:
        """All (method, pattern), for the test that compares them with the standard."""
        return {
            (method, pattern)
            for method, entries in self._by_method.items()
            for _, pattern, _ in entries
        }


def _compile(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+\*?)\}", pattern)
    text = re.escape(parts[0])
    for name, literal in zip(parts[1::2], parts[2::2], strict=True):
        some = rf"(?P<{name[:-1]}>.+)" if name.endswith("*") else rf"(?P<{name}>[^/]+)"
        text += some + re.escape(literal)
    return re.compile(text)
