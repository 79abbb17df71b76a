"""Platforms: ``os/architecture/variant``, normalised and matched as containerd does it."""

from __future__ import annotations

import os

from corten.errors import InvalidArgument
from corten.spec import _fields
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What `uname -m` and users write, in Go's words; a variant where the word implies one.
_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv5l": ("arm", "v5"),
    "armv6l": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv8l": ("arm", "v7"),
    "mips64el": ("mips64le", ""),
    "powerpc64le": ("ppc64le", ""),
    "loongarch64": ("loong64", ""),
}
_KNOWN = frozenset(
    ("386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x", "wasm")
)
_SYSTEMS = frozenset(("linux", "windows", "darwin", "freebsd", "wasip1", "wasi"))
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


class Platform(Struct):
    """What an image runs on.

    Fields:
        os: Go's word for it, mostly ``linux``; ``""`` matches nothing but itself.
        architecture: Go's word (``amd64``, ``arm64``, ``arm``).
        variant: of the architecture, as ``v8``; ``""`` is the architecture's default.
        os_version: only Windows images carry one; not matched.
    """

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    def __str__(self) -> str:
        return "/".join([part for part in (self.os, self.architecture, self.variant) if part])

    def normalized(self) -> Platform:
        """With synonyms replaced and the default variants (arm64 v8, amd64 v1) dropped."""
        system = self.os.lower()
        system = {"macos": "darwin"}.get(system, system)
        arch, implied = _ARCHITECTURES.get(
            self.architecture.lower(), (self.architecture.lower(), "")
        )
        variant = self.variant.lower() or implied
        if variant and variant[0].isdigit():
            variant = "v" + variant
        if (arch, variant) in (("arm64", "v8"), ("amd64", "v1")):
            variant = ""
        if (arch, variant) == ("arm", ""):
            variant = "v7"
        return Platform(os=system, architecture=arch, variant=variant, os_version=self.os_version)

    def candidates(self) -> tuple[Platform, ...]:
        """The platforms that run here, best first (an arm v7 machine runs v6 and v5 too)."""
        want = self.normalized()
        chain = [want]
        if want.architecture == "amd64" and want.variant:
            chain += [_with(want, f"v{n}") for n in range(_level(want.variant, 1) - 1, 1, -1)]
            chain.append(_with(want, ""))
        elif want.architecture == "arm":
            chain += [_with(want, f"v{n}") for n in range(_level(want.variant, 7) - 1, 4, -1)]
        elif want.architecture == "arm64":
            if want.variant:
                chain.append(_with(want, ""))
            chain += [_other(want, "arm", f"v{n}") for n in (8, 7, 6, 5)]
        return tuple(chain)


def _with(base: Platform, variant: str) -> Platform:
    return Platform(os=base.os, architecture=base.architecture, variant=variant)


def _other(base: Platform, architecture: str, variant: str) -> Platform:
    return Platform(os=base.os, architecture=architecture, variant=variant)


def _level(variant: str, default: int) -> int:
    digits = variant[1:].split(".")[0]
    return int(digits) if digits.isdigit() else default


def parse(text: str) -> Platform:
    """Parse ``linux/arm64/v8``, ``arm64`` (this system's) or ``linux`` (this machine's).

    Raises:
        InvalidArgument: not a platform; names what is wrong.
    """
    parts = text.split("/")
    if len(parts) > 3 or not all([part and _WORD.issuperset(part) for part in parts]):
        raise InvalidArgument(
            f"{text[:80]!r} is not a platform", hint="as linux/amd64 or linux/arm64/v8"
        )
    if len(parts) > 1:
        return Platform(
            os=parts[0], architecture=parts[1], variant=parts[2] if len(parts) == 3 else ""
        ).normalized()
    here = local()
    if parts[0].lower() in _SYSTEMS:
        return Platform(os=parts[0], architecture=here.architecture, variant=here.variant)
    wanted = Platform(os=here.os, architecture=parts[0]).normalized()
    if wanted.architecture not in _KNOWN:
        raise InvalidArgument(f"{text[:80]!r} is no architecture or system that is known")
    return wanted


def local() -> Platform:
    """The platform of this machine."""
    return Platform(os="linux", architecture=os.uname().machine).normalized()


def choose(offered: tuple[Platform | None, ...], wanted: Platform) -> int:
    """The index of the best offer for ``wanted``, -1 if none fits.

    An offer of ``None`` says nothing about its platform and is taken when nothing matches.
    """
    normal = [None if o is None else o.normalized() for o in offered]
    for candidate in wanted.candidates():
        for index, offer in enumerate(normal):
            if offer is not None and _same(offer, candidate):
                return index
    return normal.index(None) if None in normal else -1


def _same(one: Platform, two: Platform) -> bool:
    return (one.os, one.architecture, one.variant) == (two.os, two.architecture, two.variant)


def from_document(doc: dict[str, Any], where: str) -> Platform:
    """A descriptor's ``platform`` object (OCI image index specification)."""
    return Platform(
        os=_fields.text(doc, "os", where),
        architecture=_fields.text(doc, "architecture", where),
        variant=_fields.text(doc, "variant", where),
        os_version=_fields.text(doc, "os.version", where),
    )
