"""Copying a directory tree between two descriptors, for ``tmpcopyup``."""

from __future__ import annotations

import posix
from _stat import S_IMODE, S_ISDIR, S_ISLNK, S_ISREG
from errno import ENOTSUP

from corten.kernel.files import mknodat
from corten.oci.paths import fd_path

_CHUNK = 1 << 20
_OPEN = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_CLOEXEC
_CREATE = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC


def copy_tree(source: int, target: int) -> None:
    """Copy what lies in ``source`` into ``target``, links as links, owners and modes kept.

    Both are directories opened for reading. Nothing is followed: each entry is opened below
    the descriptor of its directory.
    """
    _copy_attributes(source, target)
    for name in posix.listdir(source):
        info = posix.stat(name, dir_fd=source, follow_symlinks=False)
        if S_ISDIR(info.st_mode):
            _copy_directory(name, source, target)
        elif S_ISREG(info.st_mode):
            _copy_file(name, source, target)
        elif S_ISLNK(info.st_mode):
            posix.symlink(posix.readlink(name, dir_fd=source), name, dir_fd=target)
            posix.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)
        else:
            mknodat(target, name, info.st_mode, info.st_rdev)
            posix.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)


def _copy_directory(name: str, source: int, target: int) -> None:
    posix.mkdir(name, 0o700, dir_fd=target)
    one = posix.open(name, _OPEN | posix.O_DIRECTORY, dir_fd=source)
    try:
        other = posix.open(name, _OPEN | posix.O_DIRECTORY, dir_fd=target)
        try:
            copy_tree(one, other)
        finally:
            posix.close(other)
    finally:
        posix.close(one)


def _copy_file(name: str, source: int, target: int) -> None:
    one = posix.open(name, _OPEN, dir_fd=source)
    try:
        other = posix.open(name, _CREATE, 0o600, dir_fd=target)
        try:
            while posix.sendfile(other, one, None, _CHUNK):
                pass
            _copy_attributes(one, other)
        finally:
            posix.close(other)
    finally:
        posix.close(one)


def _copy_attributes(source: int, target: int) -> None:
    info = posix.fstat(source)
    posix.fchown(target, info.st_uid, info.st_gid)
    posix.fchmod(target, S_IMODE(info.st_mode))
    for name in posix.listxattr(fd_path(source)):
        try:
            posix.setxattr(target, name, posix.getxattr(source, name))
        except OSError as error:  # tmpfs has no user attributes before Linux 6.6
            if error.errno != ENOTSUP:
                raise
