"""Device rules: a list of allow and deny becomes a default and its exceptions.

The semantics are those of the kernel's v1 device controller (Documentation/admin-guide/
cgroup-v1/devices.rst), for v2's programs as well: an ``a`` rule sets the default and forgets
everything before; a rule of the default's own kind takes its bits from the exception with the
same type and numbers; one of the other kind adds an exception.
"""

from __future__ import annotations

from corten.errors import InvalidArgument
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WILDCARD = -1
MKNOD, READ, WRITE = 1, 2, 4  # BPF_DEVCG_ACC_*
ALL_ACCESS = MKNOD | READ | WRITE
# "a" is no access of its own; runc takes it and so do configurations
_ACCESS = {"m": MKNOD, "r": READ, "w": WRITE, "a": 0}
_LARGEST = 0xFFFFFFFF


class DeviceException(Struct):
    """Devices that the default does not hold for; ``type`` is ``b`` or ``c``, numbers may be -1."""

    type: str
    major: int
    minor: int
    access: int

    def text(self) -> str:
        """As ``devices.allow`` and ``devices.deny`` take it."""
        major = "*" if self.major == WILDCARD else self.major
        minor = "*" if self.minor == WILDCARD else self.minor
        letters = "".join([key for key in "rwm" if self.access & _ACCESS[key]])
        return f"{self.type} {major}:{minor} {letters}"


class DevicePolicy(Struct):
    """What :func:`normalise` made of a list of rules."""

    allow: bool
    exceptions: tuple[DeviceException, ...] = ()


def normalise(rules: list[dict[str, Any]], *, allow: bool = True) -> DevicePolicy:
    """Fold runtime-spec device rules (config-linux.md, "Allowed Device list"), in their order.

    Arguments:
        rules: ``{"allow", "type", "major", "minor", "access"}``; absent type is ``a``, absent
            numbers and access are all.
        allow: the default that holds before the first rule.
    Raises:
        InvalidArgument: a type, number or access that does not exist.
    """
    exceptions: dict[tuple[str, int, int], int] = {}
    for rule in rules:
        kind, major, minor, access = _parse(rule)
        allows = bool(rule.get("allow", False))
        if kind == "a" and (major, minor, access) == (WILDCARD, WILDCARD, ALL_ACCESS):
            allow = allows
            exceptions.clear()
            continue
        for one in "bc" if kind == "a" else kind:
            key = (one, major, minor)
            if allows == allow:
                exceptions[key] = exceptions.get(key, 0) & ~access
            else:
                exceptions[key] = exceptions.get(key, 0) | access
    return DevicePolicy(
        allow=allow,
        exceptions=tuple(
            [
                DeviceException(type=kind, major=major, minor=minor, access=access)
                for (kind, major, minor), access in exceptions.items()
                if access
            ]
        ),
    )


def _parse(rule: dict[str, Any]) -> tuple[str, int, int, int]:
    kind = rule.get("type") or "a"
    if kind == "u":  # unbuffered character device: the kernel knows no difference
        kind = "c"
    if kind not in ("a", "b", "c"):
        raise InvalidArgument(f"device rule has the type {kind!r}", step="device rules")
    access = 0
    for letter in rule.get("access") or "rwm":
        if letter not in _ACCESS:
            raise InvalidArgument(f"device rule has the access {letter!r}", step="device rules")
        access |= _ACCESS[letter]
    return kind, _number(rule.get("major")), _number(rule.get("minor")), access


def _number(value: Any) -> int:
    if value is None or value == WILDCARD:
        return WILDCARD
    if not isinstance(value, int) or not 0 <= value <= _LARGEST:
        raise InvalidArgument(f"device rule has the number {value!r}", step="device rules")
    return value


def allows(policy: DevicePolicy, kind: str, major: int, minor: int, access: int) -> bool:
    """What the kernel answers under ``policy``; the reference for the programs of v2."""
    for item in policy.exceptions:
        if item.type != kind:
            continue
        if item.major not in (WILDCARD, major) or item.minor not in (WILDCARD, minor):
            continue
        if policy.allow and access & item.access:
            return False
        if not policy.allow and not access & ~item.access:
            return True
    return policy.allow
