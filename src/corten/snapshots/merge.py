"""Copying layers on top of each other, whiteouts obeyed, for a file system without overlays.

Layers are as the unpack worker leaves them for a snapshotter that copies: a whiteout is a plain
file ``.wh.NAME``, an opaque directory holds ``.wh..wh..opq`` (OCI layer.md). Nothing changes a
layer, so names need no guard against races; but no link may be followed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from errno import EEXIST, EINVAL, ENOTSUP, ENOTTY, EOPNOTSUPP, EPERM, EXDEV

from corten.kernel import files

_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_STAY = files.RESOLVE_BENEATH | files.RESOLVE_NO_SYMLINKS
_FICLONE = 0x40049409  # <linux/fs.h>
_NO_CLONE = (EINVAL, ENOTTY, EOPNOTSUPP, EXDEV, ENOTSUP, EPERM)
_OPAQUE = b".wh..wh..opq"
_WHITEOUT = b".wh."


class Merger:
    """Fills one directory from several layers, lowest first. Blocks; needs root for owners."""

    def __init__(self, target: str) -> None:
        self._target = os.open(target, _LIST | os.O_CLOEXEC)
        self._times: dict[bytes, os.stat_result] = {}

    def close(self) -> None:
        """Set the directories' times, which changed while they were filled."""
        try:
            for path, info in self._times.items():
                fd = files.openat2(self._target, path or b".", _LIST, resolve=_STAY)
                os.utime(fd, ns=(info.st_atime_ns, info.st_mtime_ns))
                os.close(fd)
        finally:
            os.close(self._target)

    def add(self, layer: str) -> None:
        """Put one more layer on top."""
        source = os.open(layer, _LIST | os.O_CLOEXEC)
        try:
            links: dict[int, bytes] = {}
            pending = [b""]
            while pending:
                path = pending.pop()
                pending += self._directory(source, path, links)
        finally:
            os.close(source)

    def _directory(self, layer: int, path: bytes, links: dict[int, bytes]) -> list[bytes]:
        """Merge one directory; returns those below it."""
        source = files.openat2(layer, path or b".", _LIST, resolve=_STAY)
        target = files.openat2(self._target, path or b".", _LIST, resolve=_STAY)
        try:
            names = [os.fsencode(name) for name in os.listdir(source)]
            self._hide(target, path, names)
            found = []
            for name in names:
                if name.startswith(_WHITEOUT):
                    continue
                below = path + b"/" + name if path else name
                if self._entry(source, target, name, below, links):
                    found.append(below)
            _attributes(source, target)
            self._times[path] = os.fstat(source)
            return found
        finally:
            os.close(source)
            os.close(target)

    def _hide(self, target: int, path: bytes, names: list[bytes]) -> None:
        if _OPAQUE in names:
            hidden = [os.fsencode(name) for name in os.listdir(target)]
        else:
            hidden = [n[len(_WHITEOUT) :] for n in names if n.startswith(_WHITEOUT)]
        for name in hidden:
            self._remove(target, name, path + b"/" + name if path else name)

    def _remove(self, directory: int, name: bytes, path: bytes) -> None:
        try:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            return
        except OSError:
            shutil.rmtree(name, dir_fd=directory)
            for old in [one for one in self._times if (one + b"/").startswith(path + b"/")]:
                del self._times[old]

    def _entry(
        self, source: int, target: int, name: bytes, path: bytes, links: dict[int, bytes]
    ) -> bool:
        """Copy one entry; true if it is a directory, whose contents come later."""
        info = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            self._make_directory(target, name, path)
            return True
        self._remove(target, name, path)
        if info.st_nlink > 1 and info.st_ino in links:
            self._link(links[info.st_ino], target, name)
            return False
        links[info.st_ino] = path
        if stat.S_ISREG(info.st_mode):
            _copy_file(source, target, name, info)
            return False
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        else:
            os.mknod(name, info.st_mode, info.st_rdev, dir_fd=target)
        os.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)
        if not stat.S_ISLNK(info.st_mode):
            os.chmod(name, info.st_mode & 0o7777, dir_fd=target)
        times = (info.st_atime_ns, info.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)
        return False

    def _make_directory(self, target: int, name: bytes, path: bytes) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=target)
            return
        except OSError as error:
            if error.errno != EEXIST:
                raise
        there = os.stat(name, dir_fd=target, follow_symlinks=False)
        if not stat.S_ISDIR(there.st_mode):
            self._remove(target, name, path)
            os.mkdir(name, 0o700, dir_fd=target)

    def _link(self, first: bytes, target: int, name: bytes) -> None:
        parent, _, base = first.rpartition(b"/")
        directory = files.openat2(self._target, parent or b".", _LIST, resolve=_STAY)
        try:
            os.link(base, name, src_dir_fd=directory, dst_dir_fd=target, follow_symlinks=False)
        finally:
            os.close(directory)


def _copy_file(source: int, target: int, name: bytes, info: os.stat_result) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    try:
        writer = os.open(name, flags, 0o600, dir_fd=target)
        try:
            _copy_data(reader, writer, info.st_size)
            _attributes(reader, writer)
            os.utime(writer, ns=(info.st_atime_ns, info.st_mtime_ns))
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def _copy_data(reader: int, writer: int, size: int) -> None:
    try:
        fcntl.ioctl(writer, _FICLONE, reader)
        return
    except OSError as error:
        if error.errno not in _NO_CLONE:
            raise
    while os.sendfile(writer, reader, None, 1 << 30):
        pass
    os.ftruncate(writer, size)


def _attributes(source: int, target: int) -> None:
    info = os.fstat(source)
    os.fchown(target, info.st_uid, info.st_gid)
    os.fchmod(target, stat.S_IMODE(info.st_mode))
    for key in os.listxattr(source):
        try:
            os.setxattr(target, key, os.getxattr(source, key))
        except OSError as error:
            if error.errno not in (ENOTSUP, EPERM):
                raise
