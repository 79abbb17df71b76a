"""Command line arguments as runc takes them, without ``argparse`` (12 ms).

``-x``, ``--x``, ``--x=value`` and ``--x value`` are the same; options may follow the
container's id, except where a program's own arguments follow it (``exec``).
"""

from __future__ import annotations

from corten.errors import InvalidArgument

TYPE_CHECKING = False

# Kinds of options.
SWITCH, VALUE, MANY = 0, 1, 2


class Arguments:
    """What was given.

    Attributes:
        values: option: its text; lists for those that may be repeated; True for switches.
        words: what is no option, in order.
    """

    __slots__ = ("values", "words")

    def __init__(self) -> None:
        self.values: dict[str, str | bool | list[str]] = {}
        self.words: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        value = self.values.get(name, default)
        return value if isinstance(value, str) else default

    def switch(self, name: str) -> bool:
        return self.values.get(name) is True

    def many(self, name: str) -> list[str]:
        value = self.values.get(name, [])
        return value if isinstance(value, list) else []

    def number(self, name: str) -> int:
        """A count, 0 if not given."""
        value = self.text(name, "0")
        if not value.isdigit():
            raise InvalidArgument(f'invalid value "{value}" for flag -{name}: not a number')
        return int(value)


def parse(
    argv: list[str],
    options: dict[str, int],
    *,
    short: dict[str, str] | None = None,
    until_word: bool = False,
) -> Arguments:
    """Sort the arguments of one command.

    Arguments:
        options: name and kind of each.
        short: letters that stand for a name.
        until_word: everything from the first word on is words.
    Raises:
        InvalidArgument: an unknown option, or one without its value.
    """
    found = Arguments()
    rest = argv[::-1]
    while rest:
        item = rest.pop()
        if item == "--":
            found.words += rest[::-1]
            break
        if not item.startswith("-") or item == "-":
            found.words.append(item)
            if until_word:
                found.words += rest[::-1]
                break
            continue
        given, equals, value = item.lstrip("-").partition("=")
        name = (short or {}).get(given, given)
        if name not in options:
            raise InvalidArgument(f"flag provided but not defined: -{given}")
        kind = options[name]
        if kind == SWITCH:
            found.values[name] = value not in ("false", "0", "f") if equals else True
            continue
        if not equals:
            if not rest:
                raise InvalidArgument(f"flag needs an argument: -{given}")
            value = rest.pop()
        if kind == MANY:
            found.values[name] = [*found.many(name), value]
        else:
            found.values[name] = value
    return found
