"""Ids, names, and finding an object by either."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Container, Iterable, Mapping
from typing import TypeVar

from corten.engine.words import ADJECTIVES, NOUNS
from corten.errors import InvalidArgument, NotFound

T = TypeVar("T")

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")  # Docker's rule for container names


def new_id(taken: Container[str] = ()) -> str:
    """64 random hex digits. Never all decimal in the first 12: as a host name that would be
    a number, which some programs refuse (Docker does the same)."""
    while True:
        value = secrets.token_hex(32)
        if not value[:12].isdecimal() and value not in taken:
            return value


def random_name(taken: Callable[[str], bool]) -> str:
    """Two words, with a number behind them where all tries were taken."""
    for attempt in range(32):
        name = f"{secrets.choice(ADJECTIVES)}_{secrets.choice(NOUNS)}"
        if attempt >= 8:
            name += str(secrets.randbelow(10 ** (attempt // 8)))
        if not taken(name):
            return name
    return f"container_{secrets.token_hex(8)}"


def check_name(name: str) -> str:
    """A container's name without its slash.

    Raises:
        InvalidArgument: other characters than Docker allows.
    """
    bare = name.removeprefix("/")
    if not _NAME.fullmatch(bare):
        raise InvalidArgument(
            f"Invalid container name ({bare}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )
    return bare


def resolve(
    ref: str,
    by_id: Mapping[str, T],
    by_name: Callable[[str], T | None],
    ids: Iterable[str],
    kind: str,
) -> T:
    """Find by full id, then by name, then by a unique prefix of an id.

    Raises:
        NotFound: nothing of the kind.
        InvalidArgument: the prefix fits several.
    """
    if not ref:
        raise InvalidArgument(f"no {kind} was named")
    found = by_id.get(ref)
    if found is not None:
        return found
    found = by_name(ref.removeprefix("/"))
    if found is not None:
        return found
    matches = [one for one in ids if one.startswith(ref)]
    if len(matches) > 1:
        raise InvalidArgument(f"multiple {kind}s found with the id prefix {ref}")
    if not matches:
        raise NotFound(f"No such {kind}: {ref}")
    return by_id[matches[0]]
