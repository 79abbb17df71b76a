"""Deleting trees that strangers wrote: any depth, any names, no link followed.

A tree is first renamed into the trash directory, so it is gone at once; then it is deleted.
A directory that is not empty is renamed up into the trash too, before its turn comes: so
neither recursion nor a path grows with the depth of the tree.
"""

from __future__ import annotations

import os
from errno import EEXIST, EISDIR, ENOTEMPTY, EPERM

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Trash:
    """One trash directory. Not for several threads at once."""

    def __init__(self, path: str) -> None:
        """Made where it does not exist; what an earlier process left is found by :meth:`empty`."""
        self.path = path
        os.makedirs(path, mode=0o700, exist_ok=True)
        self._next = 0

    def take(self, path: str) -> None:
        """Move a file or tree of the same file system in; nothing if it is gone already."""
        while True:
            try:
                os.rename(path, f"{self.path}/{self._name()}")
            except FileNotFoundError:
                return
            except OSError as error:  # the name is one that an earlier process left
                if error.errno not in (EEXIST, ENOTEMPTY, EISDIR):
                    raise
            else:
                return

    def empty(self) -> None:
        """Delete everything in it. What can't be deleted stays for the next time."""
        fd = os.open(self.path, _DIRECTORY)
        try:
            pending = os.listdir(fd)
            while pending:
                self._delete(fd, pending.pop(), pending)
        finally:
            os.close(fd)

    def _name(self) -> str:
        self._next += 1
        return f"{os.getpid()}-{self._next}"

    def _delete(self, trash: int, name: str, pending: list[str]) -> None:
        try:
            os.unlink(name, dir_fd=trash)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (EISDIR, EPERM):
                raise
        try:
            directory = os.open(name, _DIRECTORY, dir_fd=trash)
        except NotADirectoryError:  # an immutable file: only an administrator can help
            return
        try:
            self._clear(trash, directory, pending)
        finally:
            os.close(directory)
        _rmdir(name, trash)

    def _clear(self, trash: int, directory: int, pending: list[str]) -> None:
        with os.scandir(directory) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_directory in found:
            if not is_directory:
                _unlink(name, directory)
            elif not _rmdir(name, directory):
                moved = f"d{self._name()}"
                os.rename(name, moved, src_dir_fd=directory, dst_dir_fd=trash)
                pending.append(moved)


def _unlink(name: str, directory: int) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except (FileNotFoundError, PermissionError):
        return


def _rmdir(name: str, directory: int) -> bool:
    try:
        os.rmdir(name, dir_fd=directory)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in (ENOTEMPTY, EEXIST, EPERM):
            return False
        raise
    return True
