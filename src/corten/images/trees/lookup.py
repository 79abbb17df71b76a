"""Names inside a container, by docker's rules for ``cp``: clean, resolve, describe."""

from __future__ import annotations

import os
from errno import ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR

from corten.errors import InvalidArgument, NotFound
from corten.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_LINKS = 255
_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
# Go's os.FileMode, which clients know
_GO_KINDS: Final = {
    0o040000: 1 << 31,  # directory
    0o120000: 1 << 27,  # symbolic link
    0o060000: 1 << 26,  # block device
    0o020000: 1 << 26 | 1 << 21,  # character device
    0o010000: 1 << 25,  # named pipe
    0o140000: 1 << 24,  # socket
}
_GO_BITS: Final = ((0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20))


def clean(path: bytes) -> bytes:
    """Absolute, without ``.``, ``..`` and empty parts; a last ``/`` or ``/.`` stays, for it says
    that the contents are meant."""
    parts: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    whole = b"/" + b"/".join(parts)
    if whole == b"/":
        return b"/." if path.endswith(b"/.") or path == b"." else whole
    if path.endswith(b"/."):
        return whole + b"/."
    return whole + b"/" if path.endswith(b"/") else whole


def base_name(path: bytes) -> bytes:
    """The last part of a clean path, as Go's ``filepath.Base``."""
    stripped = path.rstrip(b"/")
    return stripped.rpartition(b"/")[2] or b"/"


def find(root: int, path: bytes) -> int:
    """An O_PATH descriptor of a clean path; a link at its end is not followed, unless a slash
    stands behind it.

    Raises:
        NotFound, InvalidArgument.
    """
    try:
        return files.openat2(root, path, _PATH)
    except OSError as error:
        raise explain(error, path) from None


def explain(error: OSError, path: bytes) -> Exception:
    """What a failed look-up means."""
    shown = os.fsdecode(path)
    if error.errno == ENOENT:
        return NotFound(f"Could not find the file {shown}")
    if error.errno == ENOTDIR:
        return NotFound(f"Could not find the file {shown}: a part of it is no directory")
    if error.errno == ELOOP:
        return InvalidArgument(f"too many links in {shown}")
    if error.errno == ENAMETOOLONG:
        return InvalidArgument("the path is too long", errno=ENAMETOOLONG)
    return error


def describe(root: int, path: bytes, fd: int) -> dict[str, Any]:
    """What ``X-Docker-Container-Path-Stat`` tells, from the descriptor that is then read."""
    stat = os.fstat(fd)
    kind = stat.st_mode & 0o170000
    target = b""
    if kind == 0o120000:
        target = evaluate(root, path)
    return {
        "name": os.fsdecode(base_name(path)),
        "size": stat.st_size,
        "mode": go_mode(stat.st_mode),
        "mtime": stat.st_mtime_ns,
        "link_target": os.fsdecode(target),
    }


def go_mode(mode: int) -> int:
    """A ``st_mode`` as Go's ``os.FileMode``."""
    value = mode & 0o777 | _GO_KINDS.get(mode & 0o170000, 0)
    for bit, go_bit in _GO_BITS:
        if mode & bit:
            value |= go_bit
    return value


def evaluate(root: int, path: bytes) -> bytes:
    """Where a path leads, all links resolved below the root; parts that don't exist stay."""
    todo = path.split(b"/")[::-1]
    done: list[bytes] = []
    links = 0
    while todo:
        part = todo.pop()
        if part in (b"", b"."):
            continue
        if part == b"..":
            del done[-1:]
            continue
        link = _read_link(root, b"/".join([*done, part]))
        if link is None:
            done.append(part)
            continue
        links += 1
        if links > _LINKS:
            raise InvalidArgument(f"too many links in {os.fsdecode(path)}")
        if link.startswith(b"/"):
            done.clear()
        todo += link.split(b"/")[::-1]
    return b"/" + b"/".join(done)


def _read_link(root: int, path: bytes) -> bytes | None:
    try:
        fd = files.openat2(root, path, _PATH)
    except OSError:
        return None
    try:
        return os.readlink(b"", dir_fd=fd)
    except OSError:
        return None
    finally:
        os.close(fd)
