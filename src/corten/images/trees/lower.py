"""What lies below a container's own layer: the layers of its image, seen as one."""

from __future__ import annotations

import os
from errno import ELOOP, ENODATA, ENOENT, ENOTDIR, ENOTSUP

from corten.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STAY = files.RESOLVE_BENEATH | files.RESOLVE_NO_SYMLINKS
_ABSENT = (ENOENT, ENOTDIR, ELOOP)
_OPAQUE = "trusted.overlay.opaque"
_WHITEOUT = b".wh."
_OPAQUE_FILE = b".wh..wh..opq"


class Lower:
    """Looks names up as overlayfs does, in directories of layers, topmost first."""

    def __init__(self, layers: Sequence[str], *, overlay: bool) -> None:
        """Arguments:
        overlay: whiteouts are devices 0/0; else plain files ``.wh.NAME``.
        """
        self._overlay = overlay
        self._layers = [os.open(path, _LIST) for path in layers]

    def find(self, path: bytes) -> os.stat_result | None:
        """What a path is below; None where there is nothing."""
        if not path:
            return os.fstat(self._layers[0]) if self._layers else None
        found = self._topmost(path)
        return None if found is None else found[1]

    def _topmost(self, path: bytes) -> tuple[int, os.stat_result] | None:
        """The index of the layer that decides, and what it has."""
        parent, _, name = path.rpartition(b"/")
        for number, directory in self._directories(parent):
            try:
                stat = self._entry(directory, name)
            finally:
                os.close(directory)
            if stat is _HIDDEN:
                return None
            if isinstance(stat, os.stat_result):
                return number, stat
        return None

    def names(self, path: bytes) -> set[bytes]:
        """The names in a directory."""
        found: set[bytes] = set()
        hidden: set[bytes] = set()
        for _, directory in self._directories(path):
            try:
                for text in os.listdir(directory):
                    name = os.fsencode(text)
                    if name in found or name in hidden:
                        continue
                    if not self._overlay and name.startswith(_WHITEOUT):
                        hidden.add(name[len(_WHITEOUT) :])
                    elif self._overlay and is_whiteout(directory, name):
                        hidden.add(name)
                    else:
                        found.add(name)
            finally:
                os.close(directory)
        return found

    def _directories(self, path: bytes) -> list[tuple[int, int]]:
        """Descriptors of a directory in each layer that contributes to it, topmost first."""
        candidates = list(enumerate(self._layers))
        walked = b""
        for part in path.split(b"/") if path else ():
            candidates = self._step(candidates, walked, part)
            walked = walked + b"/" + part if walked else part
        found = []
        for number, layer in candidates:
            fd = _open(layer, path)
            if fd is not None:
                found.append((number, fd))
                if self._is_opaque(fd):
                    break
        return found

    def _step(
        self, candidates: list[tuple[int, int]], walked: bytes, part: bytes
    ) -> list[tuple[int, int]]:
        """Which of these layers still count one directory further down."""
        kept = []
        for number, layer in candidates:
            parent = _open(layer, walked)
            if parent is None:
                continue
            try:
                stat = self._entry(parent, part)
                opaque = self._is_opaque(parent)
            finally:
                os.close(parent)
            if stat is _HIDDEN:
                break
            if isinstance(stat, os.stat_result):
                if stat.st_mode & 0o170000 != 0o040000:
                    break
                kept.append((number, layer))
            if opaque:
                break
        return kept

    def _entry(self, directory: int, name: bytes) -> os.stat_result | object:
        try:
            stat = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            if not self._overlay and _exists(directory, _WHITEOUT + name):
                return _HIDDEN
            return None
        if self._overlay and stat.st_mode & 0o170000 == 0o020000 and not stat.st_rdev:
            return _HIDDEN
        return stat

    def _is_opaque(self, directory: int) -> bool:
        if self._overlay:
            return is_opaque(directory)
        return _exists(directory, _OPAQUE_FILE)


_HIDDEN = object()


def is_whiteout(directory: int, name: bytes) -> bool:
    """Whether an entry is overlayfs's mark of something that was deleted."""
    try:
        stat = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return stat.st_mode & 0o170000 == 0o020000 and not stat.st_rdev


def is_opaque(directory: int) -> bool:
    """Whether overlayfs shows nothing of the layers below in a directory."""
    try:
        return os.getxattr(directory, _OPAQUE) == b"y"
    except OSError as error:
        if error.errno in (ENODATA, ENOTSUP):
            return False
        raise


def _open(layer: int, path: bytes) -> int | None:
    try:
        return files.openat2(layer, path or b".", _LIST, resolve=_STAY)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def _exists(directory: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True
