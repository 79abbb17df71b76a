"""Work inside a root file system that somebody hostile may change meanwhile.

Nothing here resolves a path by string: every step is an ``openat2`` that can't leave the
root, and what is made is made below a descriptor.
"""

from __future__ import annotations

import posix
from errno import EEXIST, ELOOP, ENOENT

from corten.kernel.files import (
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    openat2,
)

_IN_ROOT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_ONE_STEP = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
_MAX_LINKS = 40  # as many as the kernel follows
_DIRECTORY = posix.O_PATH | posix.O_DIRECTORY
_CREATE = posix.O_CREAT | posix.O_EXCL | posix.O_WRONLY | posix.O_NOFOLLOW | posix.O_CLOEXEC


def clean(path: str) -> str:
    """``path`` without empty, ``.`` and ``..`` components, beginning with ``/``."""
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if kept:
                kept.pop()
        elif part not in ("", "."):
            kept.append(part)
    return "/" + "/".join(kept)


def join(directory: str, path: str) -> str:
    """``path``, if relative below ``directory``."""
    return path if path.startswith("/") else f"{directory}/{path}"


def fd_path(fd: int) -> str:
    """A name of an open file for calls that take paths only."""
    return f"/proc/self/fd/{fd}"


class Root:
    """A root file system, by the descriptor of its top directory, which the caller owns."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def open(self, path: str, flags: int = posix.O_PATH, *, links: bool = True) -> int:
        """Open what ``path`` leads to inside. ``links`` False: no symbolic link on the way
        (ELOOP)."""
        resolve = _IN_ROOT if links else _IN_ROOT | RESOLVE_NO_SYMLINKS
        return openat2(self.fd, path, flags, resolve=resolve)

    def make_directory(self, path: str, mode: int = 0o755) -> int:
        """Open the directory ``path``, made with its missing parents; an O_PATH descriptor.

        Links are followed inside the root, also those whose target is missing yet
        (``/var/run`` → ``/run``).
        """
        try:
            return self.open(path, _DIRECTORY)
        except OSError as error:
            if error.errno != ENOENT:
                raise
        made = self._make_last(path, mode)
        return made if made >= 0 else _Walk(self, path).make(mode)

    def _make_last(self, path: str, mode: int) -> int:
        """:meth:`make_directory` where the parent is there and the name is free; else -1."""
        head, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            return -1
        try:
            parent = self.open(head or "/", _DIRECTORY)
            try:
                posix.mkdir(name, mode, dir_fd=parent)
                return openat2(parent, name, _DIRECTORY, resolve=_ONE_STEP)
            finally:
                posix.close(parent)
        except OSError:
            return -1  # a link, a missing parent, a race: step by step

    def make_file(self, path: str, mode: int = 0o755) -> int:
        """Open the file ``path``, made empty if missing; an O_PATH descriptor."""
        for _ in range(_MAX_LINKS):
            try:
                return self.open(path)
            except OSError as error:
                if error.errno != ENOENT:
                    raise
            parent, name = self.parent(path)
            try:
                flags = (
                    posix.O_CREAT
                    | posix.O_EXCL
                    | posix.O_WRONLY
                    | posix.O_NOFOLLOW
                    | posix.O_CLOEXEC
                )
                posix.close(posix.open(name, flags, mode, dir_fd=parent))
            except OSError as error:
                if error.errno != EEXIST:
                    raise
                path = self._beyond(parent, path, name)
            finally:
                posix.close(parent)
        raise OSError(ELOOP, posix.strerror(ELOOP), path)

    def parent(self, path: str) -> tuple[int, str]:
        """A descriptor of the directory of ``path``, made if missing, and the last name."""
        head, _, name = clean(path).rpartition("/")
        return self.make_directory(head or "/"), name

    @staticmethod
    def _beyond(parent: int, path: str, name: str) -> str:
        """Where a link leads whose target is missing; ``path`` again if it is none (a race)."""
        try:
            target = posix.readlink(name, dir_fd=parent)
        except OSError:
            return path
        if target.startswith("/"):
            return target
        return f"{path.rpartition('/')[0]}/{target}"


class _Walk:
    """One ``mkdir -p`` inside a root, link by link."""

    def __init__(self, root: Root, path: str) -> None:
        self.root = root
        self.path = path
        self.pending = path.split("/")[::-1]
        self.done: list[str] = []
        self.links = 0
        self.current = self._reopen()

    def make(self, mode: int) -> int:
        try:
            while self.pending:
                name = self.pending.pop()
                if name in ("", "."):
                    continue
                if name == "..":
                    del self.done[-1:]
                    self._move(self._reopen())
                else:
                    self._step(name, mode)
        except BaseException:
            posix.close(self.current)
            raise
        return self.current

    def _reopen(self) -> int:
        return self.root.open("/" + "/".join(self.done), _DIRECTORY)

    def _move(self, fd: int) -> None:
        posix.close(self.current)
        self.current = fd

    def _step(self, name: str, mode: int) -> None:
        try:
            fd = self._enter(name, mode)
        except OSError as error:
            if error.errno != ELOOP:
                raise
            self._follow(name)
            return
        self._move(fd)
        self.done.append(name)

    def _enter(self, name: str, mode: int) -> int:
        try:
            return openat2(self.current, name, _DIRECTORY, resolve=_ONE_STEP)
        except OSError as error:
            if error.errno != ENOENT:
                raise
        try:
            posix.mkdir(name, mode, dir_fd=self.current)
        except FileExistsError:
            pass  # somebody else was faster, or put a link there: the open decides
        return openat2(self.current, name, _DIRECTORY, resolve=_ONE_STEP)

    def _follow(self, name: str) -> None:
        self.links += 1
        if self.links > _MAX_LINKS:
            raise OSError(ELOOP, posix.strerror(ELOOP), self.path)
        target = posix.readlink(name, dir_fd=self.current)
        if target.startswith("/"):
            self.done.clear()
            self._move(self._reopen())
        self.pending.extend(target.split("/")[::-1])
