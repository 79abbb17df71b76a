"""Compiled filters on disk, found by the digest of their ``linux.seccomp``.

A hit costs an open, a read and two stats, and loads no library. An entry is trusted only if
it is ours: a regular file of this user that nobody else can write, whose header names the
document, the machine and the library (by path, size and time, so that an upgrade of
libseccomp compiles anew) and whose payload has the digest it says.
"""

from __future__ import annotations

import posix
import sys

from corten.errors import InvalidArgument
from corten.kernel import paths
from corten.kernel.seccomp import FLAG_NEW_LISTENER, FLAG_SPEC_ALLOW, FLAGS
from corten.oci.seccomp.program import DEFAULT_DIRECTORY, Program
from corten.spec import jsonlite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import sha256
    from typing import Any
elif sys.version_info >= (3, 12):  # hashlib would load OpenSSL: 6 ms
    from _sha2 import sha256
else:  # to try _sha2 first costs 0.4 ms: every directory is searched for it
    from _sha256 import sha256

__all__ = ["DEFAULT_DIRECTORY", "Program", "preload", "program_for", "read"]

_FORMAT = "corten-seccomp 2"  # counts the compiler's own changes too
_HEADER_LINES = 6
_READ = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK
_CREATE = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
_NOTIFY = "SCMP_ACT_NOTIFY"
_TYPE_MASK, _REGULAR = 0o170000, 0o100000  # the module stat would be one more import
_LARGEST = 4096 * 8 + 4096


def program_for(seccomp: dict[str, Any], directory: str = DEFAULT_DIRECTORY) -> Program:
    """The program of a ``linux.seccomp``, from the cache or compiled into it.

    Arguments:
        seccomp: the document.
        directory: the cache's; ``""`` compiles each time. One that can't be made or written is
            no error, the filter is then compiled.
    Raises:
        InvalidArgument: the document makes no sense.
        Unavailable: it is not in the cache and libseccomp is not installed.
    """
    flags = _flags(seccomp)
    digest = sha256(jsonlite.dumpb(seccomp)).hexdigest()
    path = f"{directory}/{digest}.bpf"
    code = read(path, digest) if directory else None
    if code is None:
        from corten.oci.seccomp.compiler import compile_filter

        code = compile_filter(seccomp)
        if directory:
            _store(directory, path, digest, code)
    return Program(
        code=code,
        flags=flags,
        listener_path=seccomp.get("listenerPath") or "",
        listener_metadata=seccomp.get("listenerMetadata") or "",
    )


def preload() -> None:
    """Import the compiler, for a process that must not import later."""
    import corten.oci.seccomp.compiler  # noqa: F401  # the import is the purpose


def _flags(seccomp: dict[str, Any]) -> int:
    listed = seccomp.get("flags")
    # absent: runc's default since 1.2, no needless speculation barrier (on kernels before 5.16)
    value = FLAG_SPEC_ALLOW if listed is None else 0
    for name in listed or ():
        if name not in FLAGS:
            raise InvalidArgument(f"seccomp flag {name!r} does not exist", step="seccomp")
        value |= FLAGS[name]
    # TSYNC is about other threads, and the one that loads the filter has none
    value &= ~FLAGS["SECCOMP_FILTER_FLAG_TSYNC"]
    if _notifies(seccomp):
        value |= FLAG_NEW_LISTENER
    return value


def _notifies(seccomp: dict[str, Any]) -> bool:
    if seccomp.get("defaultAction") == _NOTIFY:
        raise InvalidArgument("seccomp's default action can't be SCMP_ACT_NOTIFY", step="seccomp")
    if not any([rule.get("action") == _NOTIFY for rule in seccomp.get("syscalls") or ()]):
        return False
    if not seccomp.get("listenerPath"):
        raise InvalidArgument("SCMP_ACT_NOTIFY needs linux.seccomp.listenerPath", step="seccomp")
    return True


def read(path: str, digest: str) -> bytes | None:
    """The program in an entry, or None if it is absent, not ours, outdated or damaged."""
    try:
        fd = posix.open(
            path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK
        )
    except OSError:
        return None
    try:
        facts = posix.fstat(fd)
        if facts.st_mode & _TYPE_MASK != _REGULAR or facts.st_uid != posix.geteuid():
            return None
        if facts.st_mode & 0o022 or facts.st_size > _LARGEST:
            return None
        content = posix.read(fd, facts.st_size)
    finally:
        posix.close(fd)
    lines = content.split(b"\n", _HEADER_LINES)
    if len(lines) != _HEADER_LINES + 1:
        return None
    code = lines.pop()
    form, document, machine, library, identity, payload = [paths.fsdecode(line) for line in lines]
    if (form, document, machine) != (_FORMAT, digest, posix.uname().machine):
        return None
    if identity != _identity(library, identity) or payload != sha256(code).hexdigest():
        return None
    return code


def _identity(library: str, absent: str) -> str:
    """Size and time of the library's file; a library that is gone can't compile it better."""
    try:
        facts = posix.stat(library)
    except OSError:
        return absent
    return f"{facts.st_size} {facts.st_mtime_ns}"


def _store(directory: str, path: str, digest: str, code: bytes) -> None:
    from corten.kernel.libseccomp import library_path

    library = library_path()
    header = [_FORMAT, digest, posix.uname().machine, library, _identity(library, "-")]
    content = "\n".join([*header, sha256(code).hexdigest(), ""]).encode() + code
    temporary = f"{path}.{posix.getpid()}"
    try:
        paths.make_directories(directory, 0o700)
        fd = posix.open(
            temporary, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o600
        )
        try:
            posix.write(fd, content)
        finally:
            posix.close(fd)
        # no fsync: what a power failure leaves does not have its digest and is made again
        posix.replace(temporary, path)
    except OSError:
        return
