"""Image references, with Docker's short ("familiar") names.

The grammar is that of the distribution project's reference package: host, path, tag and
digest. ``redis`` is ``docker.io/library/redis:latest``. Written without ``re``, which is
not imported in what containers are forked from.
"""

from __future__ import annotations

from corten.errors import InvalidArgument
from corten.spec import digest as digests
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from corten.spec.digest import Digest

DEFAULT_DOMAIN: Final = "docker.io"
DEFAULT_TAG: Final = "latest"
PATH_LIMIT: Final = 255
TAG_LIMIT: Final = 128

_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_ALNUM = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_TAG_FIRST = _ALNUM | {"_"}
_TAG = _TAG_FIRST | frozenset(".-")


class Reference(Struct):
    """A full name of an image.

    Fields:
        domain: registry, as ``docker.io`` or ``127.0.0.1:5000``.
        path: repository in it, as ``library/redis``.
        tag: ``""`` where only a digest was given.
        digest: of the manifest or index, if one was given.
    """

    domain: str
    path: str
    tag: str = ""
    digest: Digest | None = None

    @property
    def repository(self) -> str:
        """``docker.io/library/redis``."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_repository(self) -> str:
        """``redis``: what Docker shows."""
        if self.domain != DEFAULT_DOMAIN:
            return self.repository
        head, slash, tail = self.path.partition("/")
        return tail if slash and head == "library" and "/" not in tail else self.path

    @property
    def tagged(self) -> str:
        """The canonical name with the tag, without a digest; the tag must be there."""
        return f"{self.repository}:{self.tag}"

    def __str__(self) -> str:
        return self.repository + self._tail()

    @property
    def familiar(self) -> str:
        """The short form, with tag and digest as they are."""
        return self.familiar_repository + self._tail()

    def _tail(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest is not None else tag


def parse(text: str) -> Reference:
    """Parse what a user typed; a name without tag and digest gets ``:latest``.

    Raises:
        InvalidArgument: not a reference; says which part is wrong.
    """
    name, tag, digest = _split(text)
    if digest is None and not tag and digests.is_hex(name) and len(name) == 64:
        raise _bad(text, "64 hex digits are an image's id and can't be a name")
    domain, path = split_domain(name)
    _check_domain(text, domain)
    _check_path(text, path)
    if not tag and digest is None:
        tag = DEFAULT_TAG
    return Reference(domain=domain, path=path, tag=tag, digest=digest)


def _bad(text: str, problem: str) -> InvalidArgument:
    return InvalidArgument(
        f"invalid reference {text[:300]!r}: {problem}", hint="as [HOST[:PORT]/]NAME[:TAG][@DIGEST]"
    )


def _split(text: str) -> tuple[str, str, Digest | None]:
    if not text:
        raise _bad(text, "it is empty")
    rest, at, digest_text = text.partition("@")
    digest = digests.parse(digest_text, field=f"the digest of {rest!r}") if at else None
    head, colon, tail = rest.rpartition(":")
    if not colon or "/" in tail:  # no tag; a colon before a slash belongs to the port
        return rest, "", digest
    if not tail or tail[0] not in _TAG_FIRST or not _TAG.issuperset(tail):
        raise _bad(text, f"{tail[:140]!r} is not a tag")
    if len(tail) > TAG_LIMIT:
        raise _bad(text, f"a tag has at most {TAG_LIMIT} characters")
    return head, tail, digest


def split_domain(name: str) -> tuple[str, str]:
    """Registry and repository of a name without tag, Docker's defaults filled in."""
    first, slash, rest = name.partition("/")
    known = "." in first or ":" in first or first == "localhost" or first.lower() != first
    if not slash or not known:
        domain, path = DEFAULT_DOMAIN, name
    else:
        domain, path = first, rest
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = f"library/{path}"
    return domain, path


def _check_domain(text: str, domain: str) -> None:
    host, port = domain, ""
    if domain.startswith("["):
        host, _, port = domain.partition("]")
        inner = host[1:]
        ok = bool(inner) and frozenset("0123456789abcdefABCDEF:").issuperset(inner)
        if not ok or (port and not port.startswith(":")):
            raise _bad(text, f"{domain!r} is not a host")
        port = port[1:] if port else "0"
    else:
        host, colon, port = domain.partition(":")
        port = port if colon else "0"
        if not all([_is_label(label) for label in host.split(".")]):
            raise _bad(text, f"{domain!r} is not a host")
    if not (port.isascii() and port.isdigit()):
        raise _bad(text, f"{port!r} is not a port")


def _is_label(label: str) -> bool:
    return (
        bool(label)
        and label[0] in _ALNUM
        and label[-1] in _ALNUM
        and (_ALNUM | {"-"}).issuperset(label)
    )


def _check_path(text: str, path: str) -> None:
    if path.lower() != path:
        raise _bad(text, "repository name must be lowercase")
    if len(path) > PATH_LIMIT:
        raise _bad(text, f"a repository's name has at most {PATH_LIMIT} characters")
    for component in path.split("/"):
        if not is_component(component):
            raise _bad(text, f"{component[:80]!r} is not a part of a repository's name")


def is_component(text: str) -> bool:
    """Whether ``text`` is one component of a path: words of ``[a-z0-9]`` joined by ``.``, ``_``,
    ``__`` or any number of ``-``."""
    if not text or text[0] not in _LOWER or text[-1] not in _LOWER:
        return False
    separator = ""
    for char in text:
        if char in _LOWER:
            separator = ""
            continue
        separator += char
        if separator not in (".", "_", "__") and separator.strip("-"):
            return False
    return True
