"""What a container changed: ``diff``, and the layer that ``commit`` makes of it."""

from __future__ import annotations

import os
from errno import ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR

from corten.errors import InvalidArgument
from corten.images.trees import pack, tarwrite
from corten.images.trees.lower import Lower, is_opaque, is_whiteout
from corten.images.unpack import tar
from corten.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

MODIFIED: Final = 0
ADDED: Final = 1
DELETED: Final = 2
_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STAY = files.RESOLVE_BENEATH | files.RESOLVE_NO_SYMLINKS
_GONE = (ENOENT, ENOTDIR, ELOOP)
_DIRECTORY = 0o040000
_KIND = 0o170000


# Where the runtime mounts something of its own into every container: empty files and directories
# that are made for that are nobody's change.
_MOUNT_POINTS: Final = frozenset(
    (
        b".dockerenv",
        b"dev",
        b"dev/console",
        b"dev/mqueue",
        b"dev/pts",
        b"dev/shm",
        b"etc/hostname",
        b"etc/hosts",
        b"etc/mtab",
        b"etc/resolv.conf",
        b"proc",
        b"run/.containerenv",
        b"sys",
    )
)


class Change:
    """One path that differs from the image.

    Fields:
        path: without a leading slash; ``b""``: the root directory.
        kind: one of the numbers above, which are docker's.
        opaque: a directory that shows nothing of the layers below.
    """

    __slots__ = ("kind", "opaque", "path")

    def __init__(self, path: bytes, kind: int, *, opaque: bool = False) -> None:
        self.path = path
        self.kind = kind
        self.opaque = opaque


class Upper:
    """Walks the directory with a container's own files."""

    def __init__(self, upper: int, lower: Lower, *, overlay: bool) -> None:
        """Arguments:
        upper: descriptor of the directory.
        overlay: it has only what changed; else it is a whole copy.
        """
        self._upper = upper
        self._lower = lower
        self._overlay = overlay
        self._with_mount_points: set[bytes] = set()

    def changes(self) -> Iterator[Change]:
        """All changes, parents before what lies below them, by name."""
        yield from self._directory(b"")

    def _directory(self, path: bytes) -> Iterator[Change]:
        try:
            fd = files.openat2(self._upper, path or b".", _LIST, resolve=_STAY)
        except OSError as error:
            if error.errno in _GONE:
                return
            if error.errno == ENAMETOOLONG:
                raise InvalidArgument("a path is too long", path=os.fsdecode(path[:200])) from None
            raise
        try:
            names = [os.fsencode(name) for name in os.listdir(fd)]
            whiteouts = {n for n in names if self._overlay and is_whiteout(fd, n)}
        finally:
            os.close(fd)
        gone = set(whiteouts)
        if not self._overlay:
            gone = self._lower.names(path) - set(names)
        for name in sorted({*names, *gone}):
            below = path + b"/" + name if path else name
            if name in gone:
                # Made and deleted again leaves a mark too, of nothing.
                if self._lower.find(below) is not None:
                    yield Change(below, DELETED)
            else:
                yield from self._entry(below)

    def _entry(self, path: bytes) -> Iterator[Change]:
        try:
            fd = files.openat2(self._upper, path, _PATH, resolve=_STAY & ~files.RESOLVE_NO_SYMLINKS)
        except OSError as error:
            if error.errno in _GONE:
                return
            raise
        try:
            stat = os.fstat(fd)
            is_directory = stat.st_mode & _KIND == _DIRECTORY
            opaque = self._overlay and is_directory and _opaque(fd)
        finally:
            os.close(fd)
        before = self._lower.find(path)
        if before is None and path in _MOUNT_POINTS and self._is_empty(path, stat):
            self._with_mount_points.add(path.rpartition(b"/")[0])
            return
        if not is_directory:
            if before is None or self._overlay or _differs(before, stat):
                yield Change(path, ADDED if before is None else MODIFIED)
            return
        yield from self._subdirectory(path, stat, before, opaque)

    def _is_empty(self, path: bytes, stat: os.stat_result) -> bool:
        if stat.st_mode & _KIND == _DIRECTORY:
            return not any(self._directory(path))
        return not stat.st_size

    def _subdirectory(
        self, path: bytes, stat: os.stat_result, before: os.stat_result | None, opaque: bool
    ) -> Iterator[Change]:
        if before is not None and before.st_mode & _KIND != _DIRECTORY:
            yield Change(path, MODIFIED, opaque=opaque)
            yield from self._directory(path)
            return
        if before is None:
            yield Change(path, ADDED, opaque=opaque)
            yield from self._directory(path)
            return
        below = list(self._directory(path))
        same = not _differs(before, stat) and not opaque
        if path in self._with_mount_points:  # they changed its time
            same = not opaque and before.st_mode == stat.st_mode
        if below or not same:  # the way to a change is listed too, as dockerd has it
            yield Change(path, MODIFIED, opaque=opaque)
            yield from below


def _opaque(fd: int) -> bool:
    directory = os.open(b".", _LIST, dir_fd=fd)
    try:
        return is_opaque(directory)
    finally:
        os.close(directory)


def _differs(before: os.stat_result, after: os.stat_result) -> bool:
    if before.st_mode & _KIND == _DIRECTORY and after.st_mode & _KIND == _DIRECTORY:
        return (before.st_mode, before.st_uid, before.st_gid, before.st_mtime_ns) != (
            after.st_mode,
            after.st_uid,
            after.st_gid,
            after.st_mtime_ns,
        )
    one, other = (
        (s.st_mode, s.st_uid, s.st_gid, s.st_mtime_ns, s.st_size, s.st_rdev)
        for s in (before, after)
    )
    return one != other


def write_layer(
    upper: int, changes: Iterator[Change], packer: pack.Packer, out: pack.Output
) -> int:
    """The archive of a layer: OCI layer.md, "Representing Changes". Returns how many members."""
    count = 0
    for change in changes:
        count += 1
        if change.kind == DELETED:
            out.write(tarwrite.header(_whiteout(change.path)))
            continue
        try:
            fd = files.openat2(
                upper, change.path, _PATH, resolve=_STAY & ~files.RESOLVE_NO_SYMLINKS
            )
        except OSError as error:
            if error.errno in _GONE:
                continue
            raise
        try:
            stat = os.fstat(fd)
            kind = tarwrite.kind_of(stat.st_mode)
            if kind is not None:
                packer.member(fd, stat, change.path, kind)
        finally:
            os.close(fd)
        if change.opaque:
            entry = tar.Entry(tar.REGULAR, change.path + b"/.wh..wh..opq", 0)
            out.write(tarwrite.header(entry))
    return count


def _whiteout(path: bytes) -> tar.Entry:
    parent, slash, name = path.rpartition(b"/")
    return tar.Entry(tar.REGULAR, parent + slash + b".wh." + name, 0)
