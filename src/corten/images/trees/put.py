"""An archive into a directory of a container (``PUT /containers/{id}/archive``).

The same careful steps as for a layer (:mod:`corten.images.unpack.apply`), in a tree that somebody
may be changing meanwhile: whatever is given a mode or an owner is held by a descriptor.
"""

from __future__ import annotations

import os
from errno import EROFS, EXDEV

from corten.errors import CortenError, FailedPrecondition, InvalidArgument
from corten.images.unpack import tar
from corten.images.unpack.apply import Applier, refuse, set_xattr, split
from corten.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Placer(Applier):
    """Applies an archive's entries below one directory of the container's root."""

    times_resolve = files.RESOLVE_IN_ROOT

    def __init__(
        self, root: int, target: bytes, *, keep_kinds: bool, owner: tuple[int, int] | None
    ) -> None:
        """Arguments:
        root: descriptor of the container's root directory.
        target: the directory, as a path below it.
        keep_kinds: a directory is not replaced by a file, nor a file by a directory.
        owner: whose everything becomes; None: as the archive says.
        """
        super().__init__(root, overlay=False, limit=1 << 62)
        self._target = split(target)
        self._keep_kinds = keep_kinds
        self._everybodys = owner

    def apply(self, entry: tar.Entry, data: Iterator[memoryview]) -> None:
        parts = split(entry.name)
        if self._everybodys is not None:
            entry.uid, entry.gid = self._everybodys
        if entry.kind == tar.HARD_LINK:
            entry.link = b"/".join([*self._target, *split(entry.link)])
        if not parts:
            return  # the directory itself stays as it is
        whole = [*self._target, *parts]
        path, parent_path = b"/".join(whole), b"/".join(whole[:-1])
        entry.name = path
        try:
            parent = self._parent(whole[:-1], parent_path, path)
            if self._keep_kinds:
                _check_kinds(parent, whole[-1], entry, path)
            self._make(parent, whole[-1], path, entry, data)
        except OSError as error:
            raise _explain(error, path) from None

    def _attributes_by_name(self, parent: int, name: bytes, entry: tar.Entry) -> None:
        if entry.kind != tar.DIRECTORY:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
            return
        fd = os.open(name, _LIST, dir_fd=parent)
        try:
            os.fchown(fd, entry.uid, entry.gid)
            os.fchmod(fd, entry.mode)
            for key, value in entry.xattrs.items():
                set_xattr(fd, key, value)
        finally:
            os.close(fd)


def _check_kinds(parent: int, name: bytes, entry: tar.Entry, path: bytes) -> None:
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    is_directory = mode & 0o170000 == 0o040000
    shown = os.fsdecode(b"/" + path)
    if is_directory and entry.kind != tar.DIRECTORY:
        raise InvalidArgument(f'cannot overwrite directory "{shown}" with non-directory')
    if not is_directory and entry.kind == tar.DIRECTORY:
        raise InvalidArgument(f'cannot overwrite non-directory "{shown}" with directory')


def _explain(error: OSError, path: bytes) -> Exception:
    if error.errno == EROFS:
        return read_only()
    if error.errno == EXDEV:
        return refuse(path, "is a hard link from one file system to another")
    return error


def read_only() -> CortenError:
    """What is said about a place that can't be written."""
    return FailedPrecondition("mounted volume is marked read-only")
