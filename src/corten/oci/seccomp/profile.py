"""A Docker profile and a container's capabilities become a runtime-spec ``linux.seccomp``.

A Docker profile (``--security-opt seccomp=FILE``) is a ``linux.seccomp`` whose rules may hold
for some capabilities, architectures or kernels only, and which maps architectures.
"""

from __future__ import annotations

import posix

from corten.errors import InvalidArgument
from corten.oci.seccomp import default

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# uname's machine: (libseccomp's name, Docker's name)
_MACHINES = {
    "x86_64": ("SCMP_ARCH_X86_64", "amd64"),
    "i686": ("SCMP_ARCH_X86", "x86"),
    "aarch64": ("SCMP_ARCH_AARCH64", "arm64"),
    "armv7l": ("SCMP_ARCH_ARM", "arm"),
    "riscv64": ("SCMP_ARCH_RISCV64", "riscv64"),
    "s390x": ("SCMP_ARCH_S390X", "s390x"),
    "ppc64le": ("SCMP_ARCH_PPC64LE", "ppc64le"),
    "loongarch64": ("SCMP_ARCH_LOONGARCH64", "loong64"),
}
_PLAIN = ("defaultAction", "defaultErrnoRet", "flags", "listenerPath", "listenerMetadata")
_resolved_defaults: dict[tuple[frozenset[str], str], dict[str, Any]] = {}


def resolve_default(capabilities: list[str] | tuple[str, ...], machine: str = "") -> dict[str, Any]:
    """Docker's default profile for a container; the answer is shared and must not be changed.

    Arguments:
        capabilities: the bounding set, names with ``CAP_``.
        machine: as ``uname -m``; the running one if empty.
    """
    machine = machine or posix.uname().machine
    key = (frozenset(capabilities), machine)
    found = _resolved_defaults.get(key)
    if found is None:
        found = resolve(default.profile(), capabilities, machine=machine)
        _resolved_defaults[key] = found
    return found


def resolve(
    profile: dict[str, Any],
    capabilities: list[str] | tuple[str, ...],
    *,
    machine: str = "",
    kernel: str = "",
) -> dict[str, Any]:
    """``linux.seccomp`` of a Docker profile for one container.

    Arguments:
        profile: the profile's document.
        capabilities: the container's bounding set.
        machine, kernel: as ``uname -m`` and ``uname -r``; the running ones if empty.
    Raises:
        InvalidArgument: the profile contradicts itself or is malformed.
    """
    machine = machine or posix.uname().machine
    if machine not in _MACHINES:
        raise InvalidArgument(f"no seccomp architecture is known for {machine}", step="seccomp")
    native, name = _MACHINES[machine]
    running = _version(kernel or posix.uname().release)
    result = {key: profile[key] for key in _PLAIN if profile.get(key) is not None}
    if "defaultAction" not in result:
        raise InvalidArgument("seccomp profile has no defaultAction", step="seccomp")
    architectures = _architectures(profile, native)
    if architectures:
        result["architectures"] = architectures
    held = frozenset(capabilities)
    result["syscalls"] = [
        _plain_rule(rule)
        for rule in profile.get("syscalls") or ()
        if _holds(rule, held, name, running)
    ]
    return result


def _architectures(profile: dict[str, Any], native: str) -> list[str]:
    listed: list[str] = profile.get("architectures") or []
    mapped = profile.get("archMap") or []
    if listed and mapped:
        raise InvalidArgument(
            "seccomp profile has both architectures and archMap",
            step="seccomp",
            hint="remove one of them",
        )
    for item in mapped:
        if item.get("architecture") == native:
            return [native, *(item.get("subArchitectures") or ())]
    return list(listed)


def _plain_rule(rule: dict[str, Any]) -> dict[str, Any]:
    if rule.get("name") and rule.get("names"):
        raise InvalidArgument("seccomp rule has both name and names", step="seccomp")
    names = rule.get("names") or ([rule["name"]] if rule.get("name") else None)
    if not names or not rule.get("action"):
        raise InvalidArgument("seccomp rule needs names and action", step="seccomp")
    plain: dict[str, Any] = {"names": names, "action": rule["action"]}
    if rule.get("errnoRet") is not None:
        plain["errnoRet"] = rule["errnoRet"]
    if rule.get("args"):
        plain["args"] = rule["args"]
    return plain


def _holds(
    rule: dict[str, Any], held: frozenset[str], architecture: str, running: tuple[int, int]
) -> bool:
    """Docker's meaning: every listed capability, one of the architectures, at least the kernel."""
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    arches = includes.get("arches")
    if arches and architecture not in arches:
        return False
    if architecture in (excludes.get("arches") or ()):
        return False
    if any([capability not in held for capability in includes.get("caps") or ()]):
        return False
    if any([capability in held for capability in excludes.get("caps") or ()]):
        return False
    least, too_new = includes.get("minKernel"), excludes.get("minKernel")
    if least and running < _version(least):
        return False
    return not (too_new and running >= _version(too_new))


def _version(text: str) -> tuple[int, int]:
    parts = text.split("-")[0].split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (ValueError, IndexError):
        raise InvalidArgument(f"kernel version {text!r} is not like 5.10", step="seccomp") from None
