"""What a volume may be called, and the options of the driver ``local``, in dockerd's words."""

from __future__ import annotations

import re
from collections.abc import Mapping

from corten.errors import InvalidArgument, NotFound

DRIVER = "local"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_LONGEST = 255  # bytes of a file name
_OPTIONS = ("device", "o", "size", "type")


def check(name: str) -> str:
    """The name itself.

    Raises:
        InvalidArgument: it is too short, or has other characters than dockerd allows.
    """
    if len(name) == 1:
        raise InvalidArgument(
            f"create {name}: volume name is too short, names should be at least two alphanumeric"
            " characters"
        )
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only'
            ' "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory,'
            " use absolute path"
        )
    if len(name) > _LONGEST:
        raise InvalidArgument(f"create {name[:32]}…: volume name is too long")
    return name


def check_driver(driver: str) -> None:
    """Raises NotFound: there is only ``local``."""
    if driver not in ("", DRIVER):
        raise NotFound(f'error looking up volume plugin {driver}: plugin "{driver}" not found')


def check_options(name: str, options: Mapping[str, str]) -> None:
    """Raises InvalidArgument: an option that the driver has not, or one that another needs."""
    for option in options:
        if option not in _OPTIONS:
            raise InvalidArgument(f'create {name}: invalid option: "{option}"')
    if options.get("size"):
        raise InvalidArgument(
            f"create {name}: quota size requested but no quota support",
            hint="a volume of type tmpfs takes o=size=…",
        )
    for option, other in (("device", "type"), ("type", "device")):
        if option in options and other not in options:
            raise InvalidArgument(f'create {name}: missing required option: "{other}"')
