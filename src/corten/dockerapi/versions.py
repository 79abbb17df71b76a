"""API versions: the range that is spoken, and how a path carries one.

``/v1.41/containers/json`` asks for 1.41; a path without a version gets the newest.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from corten.errors import InvalidArgument


class Version(NamedTuple):
    """An API version; compares as numbers."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


MINIMUM = Version(1, 24)
MAXIMUM = Version(1, 55)

_PREFIX = re.compile(r"/v(\d+)\.(\d+)(?:\.\d+)*(/.*)")


def split(path: str) -> tuple[Version, str]:
    """The version that ``path`` asks for, and the path without it.

    Raises:
        InvalidArgument: outside of the range, in the words that clients look for.
    """
    found = _PREFIX.fullmatch(path)
    if not found:
        return MAXIMUM, path
    version = Version(int(found[1]), int(found[2]))
    if version < MINIMUM:
        raise InvalidArgument(
            f"client version {version} is too old. Minimum supported API version is {MINIMUM}, "
            "please upgrade your client to a newer version"
        )
    if version > MAXIMUM:
        raise InvalidArgument(
            f"client version {version} is too new. Maximum supported API version is {MAXIMUM}"
        )
    return version, found[3]
