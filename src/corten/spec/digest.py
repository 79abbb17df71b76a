"""Content digests: ``sha256:`` and 64 hex digits, parsed at the border, values below it.

OCI image specification, descriptor.md, "Digests".
"""

from __future__ import annotations

from corten.errors import InvalidArgument
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

HEX_LENGTH: Final = {"sha256": 64, "sha384": 96, "sha512": 128}
_HEX = frozenset("0123456789abcdef")


def is_hex(text: str) -> bool:
    """Whether ``text`` is one or more lower-case hex digits."""
    return bool(text) and _HEX.issuperset(text)


class Digest(Struct):
    """The digest of some content.

    Fields:
        algorithm: ``sha256``, ``sha384`` or ``sha512``; others can't be verified and are refused.
        hex: lower-case hex digits, as many as the algorithm has.
    """

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    @property
    def short(self) -> str:
        """The twelve digits that people are shown."""
        return self.hex[:12]


def parse(text: str, *, field: str = "digest") -> Digest:
    """Parse ``algorithm:hex``.

    Arguments:
        field: what carries the digest, for the error.
    Raises:
        InvalidArgument: not a digest, or of an algorithm that can't be verified.
    """
    algorithm, colon, digits = text.partition(":")
    if not colon:
        raise InvalidArgument(f"{field} is {text[:80]!r}, not a digest", hint="as sha256:<64 hex>")
    length = HEX_LENGTH.get(algorithm)
    if length is None:
        raise InvalidArgument(f"{field} has the unsupported digest algorithm {algorithm[:40]!r}")
    if len(digits) != length or not is_hex(digits):
        raise InvalidArgument(f"{field} is {text[:160]!r}: {algorithm} has {length} hex digits")
    return Digest(algorithm=algorithm, hex=digits)


def sha256(hex_digits: str) -> Digest:
    """A digest from the hex digits that ``hashlib`` gives."""
    return Digest(algorithm="sha256", hex=hex_digits)
