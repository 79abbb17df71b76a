"""Copying a directory tree between two descriptors, for ``tmpcopyup``."""

from __future__ import annotations

import os
from errno import ENOTSUP
from stat import S_IMODE, S_ISDIR, S_ISLNK, S_ISREG

from corten.kernel.files import mknodat
from corten.oci.paths import fd_path

_CHUNK = 1 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_tree(source: int, target: int) -> None:
    """Copy what lies in ``source`` into ``target``, links as links, owners and modes kept.

    Both are directories opened for reading. Nothing is followed: each entry is opened below
    the descriptor of its directory.
    """
    _copy_attributes(source, target)
    for name in os.listdir(source):
        info = os.stat(name, dir_fd=source, follow_symlinks=False)
        if S_ISDIR(info.st_mode):
            _copy_directory(name, source, target)
        elif S_ISREG(info.st_mode):
            _copy_file(name, source, target)
        elif S_ISLNK(info.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)
        else:
            mknodat(target, name, info.st_mode, info.st_rdev)
            os.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)


def _copy_directory(name: str, source: int, target: int) -> None:
    os.mkdir(name, 0o700, dir_fd=target)
    one = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=source)
    try:
        other = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=target)
        try:
            copy_tree(one, other)
        finally:
            os.close(other)
    finally:
        os.close(one)


def _copy_file(name: str, source: int, target: int) -> None:
    one = os.open(name, _OPEN, dir_fd=source)
    try:
        other = os.open(name, _CREATE, 0o600, dir_fd=target)
        try:
            while os.sendfile(other, one, None, _CHUNK):
                pass
            _copy_attributes(one, other)
        finally:
            os.close(other)
    finally:
        os.close(one)


def _copy_attributes(source: int, target: int) -> None:
    info = os.fstat(source)
    os.fchown(target, info.st_uid, info.st_gid)
    os.fchmod(target, S_IMODE(info.st_mode))
    for name in os.listxattr(fd_path(source)):
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as error:  # tmpfs has no user attributes before Linux 6.6
            if error.errno != ENOTSUP:
                raise
