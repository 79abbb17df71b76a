"""A volume on the disk; blocking, for the pool.

::

    NAME/_data     the files
    NAME/_filling  a copy of an image's files that is being made; thrown away after a crash
    NAME/_filled   a copy that is whole and moves into _data, entry by entry; a crash is followed
                   by somebody who goes on with it

So a volume never shows a file that is not whole, and is never taken for empty again.
"""

from __future__ import annotations

import contextlib
import errno
import os

DATA, _FILLING, _FILLED = "_data", "_filling", "_filled"
_MOVED = ".corten-removed."


def make(directory: str) -> None:
    """The directories, where they are missing."""
    os.makedirs(directory, mode=0o711, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(f"{directory}/{DATA}", 0o755)


def begin_filling(directory: str) -> str:
    """Where to copy to; empty: the volume has files and gets none."""
    make(directory)
    finish_filling(directory)
    with os.scandir(f"{directory}/{DATA}") as entries:
        if next(entries, None) is not None:
            return ""
    path = f"{directory}/{_FILLING}"
    os.mkdir(path, 0o700)
    return path


def filled(directory: str) -> None:
    """The copy is whole: it becomes the volume's content."""
    os.rename(f"{directory}/{_FILLING}", f"{directory}/{_FILLED}")
    finish_filling(directory)


def drop_filling(directory: str) -> None:
    """Nothing was copied, or not all."""
    remove(f"{directory}/{_FILLING}")


def finish_filling(directory: str) -> None:
    """After a crash: take back a copy that is not whole, go on with one that is."""
    drop_filling(directory)
    source, target = f"{directory}/{_FILLED}", f"{directory}/{DATA}"
    try:
        names = os.listdir(source)
    except FileNotFoundError:
        return
    _same_attributes(source, target)
    for name in names:
        # Somebody else's container may have made one of this name meanwhile: it stays.
        if os.path.lexists(f"{target}/{name}"):
            remove(f"{source}/{name}")
        else:
            os.rename(f"{source}/{name}", f"{target}/{name}")
    info = os.stat(source)
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))
    os.rmdir(source)


def remove(path: str) -> None:
    """A file or a tree; nothing if it is gone.

    Trees may be deeper than a path is long or a stack high, if that is what a container made: so
    directories are moved to the top, one level after the other, and emptied there."""
    if not os.path.isdir(path) or os.path.islink(path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    moved = 0
    while True:
        directories = _unlink_files(path)
        if not directories:
            break
        for name in directories:
            for inner in _unlink_files(f"{path}/{name}"):
                moved += 1
                os.rename(f"{path}/{name}/{inner}", f"{path}/{_MOVED}{os.getpid()}.{moved}")
            os.rmdir(f"{path}/{name}")
    os.rmdir(path)


def _unlink_files(path: str) -> list[str]:
    """Remove all but directories; returns the names of these."""
    found = []
    with os.scandir(path) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                found.append(entry.name)
            else:
                os.unlink(entry.path)
    return found


def size(path: str) -> int:
    """Bytes of all files below; what vanishes meanwhile counts nothing."""
    total, seen = 0, set()
    for _directory, _below, names, fd in os.fwalk(path, onerror=None, follow_symlinks=False):
        for name in names:
            with contextlib.suppress(OSError):
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if (info.st_dev, info.st_ino) not in seen:
                    seen.add((info.st_dev, info.st_ino))
                    total += info.st_size
    return total


def _same_attributes(source: str, target: str) -> None:
    info = os.stat(source)
    os.chown(target, info.st_uid, info.st_gid)
    os.chmod(target, info.st_mode & 0o7777)
    for name in os.listxattr(source):
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
