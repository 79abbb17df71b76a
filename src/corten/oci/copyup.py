"""Copying a directory tree between two descriptors: ``tmpcopyup``, and what an image has where
a volume is mounted.

The source may be hostile: nothing of it is followed, each entry is opened below the descriptor
of its directory, and what is neither file, directory nor link is made anew as a node. The
target is nobody's but ours until it is whole.
"""

from __future__ import annotations

import posix
from _stat import S_IMODE, S_ISDIR, S_ISLNK, S_ISREG
from errno import ELOOP, ENAMETOOLONG, ENOTSUP, ENXIO

from corten.kernel.files import mknodat
from corten.oci.paths import fd_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 20
_DEEPEST = 2000  # directories below each other; a path of 4096 bytes has no more
_OPEN = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC
_CREATE = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC


def copy_tree(source: int, target: int) -> None:
    """Copy what lies in ``source`` into ``target``: owners, modes, times, extended attributes
    and hard links kept, holes left as holes, links as links.

    Both are directories opened for reading. ``target`` gets the attributes of ``source``.
    """
    copier = _Copier(target)
    try:
        copier.run(source, target)
    finally:
        copier.close()


class _Level:
    """A directory that is being copied."""

    __slots__ = ("names", "own", "path", "source", "target")

    def __init__(self, source: int, target: int, path: str, own: bool) -> None:
        self.source = source
        self.target = target
        self.path = path
        self.own = own
        self.names: Iterator[str] = iter(posix.listdir(source))


class _Copier:
    def __init__(self, top: int) -> None:
        self._top = top
        self._levels: list[_Level] = []
        self._linked: dict[tuple[int, int], str] = {}

    def run(self, source: int, target: int) -> None:
        """Not by recursion: how deep the tree is, is the image's choice."""
        levels = self._levels
        levels.append(_Level(source, target, "", own=False))
        while levels:
            level = levels[-1]
            name = next(level.names, None)
            if name is not None:
                self._entry(level, name)
                continue
            _copy_attributes(level.source, level.target)
            levels.pop()
            _close(level)

    def close(self) -> None:
        """Close what an error left open."""
        for level in self._levels:
            _close(level)

    def _entry(self, level: _Level, name: str) -> None:
        info = posix.stat(name, dir_fd=level.source, follow_symlinks=False)
        if S_ISDIR(info.st_mode):
            self._enter(level, name)
            return
        key = (info.st_dev, info.st_ino)
        path = level.path + name
        if info.st_nlink > 1 and key in self._linked and self._link(self._linked[key], level, name):
            return
        if S_ISREG(info.st_mode):
            _copy_file(name, level.source, level.target)
        elif S_ISLNK(info.st_mode):
            posix.symlink(posix.readlink(name, dir_fd=level.source), name, dir_fd=level.target)
            _own(name, info, level.target)
        else:
            mknodat(level.target, name, info.st_mode, info.st_rdev)
            _own(name, info, level.target)
        if info.st_nlink > 1:
            self._linked[key] = path

    def _enter(self, level: _Level, name: str) -> None:
        if len(self._levels) >= _DEEPEST:
            raise OSError(ELOOP, "directories are nested too deep", level.path[:64])
        posix.mkdir(name, 0o700, dir_fd=level.target)
        one = posix.open(name, _OPEN | posix.O_DIRECTORY, dir_fd=level.source)
        try:
            other = posix.open(name, _OPEN | posix.O_DIRECTORY, dir_fd=level.target)
        except BaseException:
            posix.close(one)
            raise
        self._levels.append(_Level(one, other, f"{level.path}{name}/", own=True))

    def _link(self, first: str, level: _Level, name: str) -> bool:
        """Whether the second name of a file could be made one; else it is copied."""
        try:
            posix.link(
                first, name, src_dir_fd=self._top, dst_dir_fd=level.target, follow_symlinks=False
            )
        except OSError as error:
            if error.errno != ENAMETOOLONG:
                raise
            return False
        return True


def _close(level: _Level) -> None:
    if level.own:
        posix.close(level.source)
        posix.close(level.target)


def _copy_file(name: str, source: int, target: int) -> None:
    one = posix.open(name, _OPEN, dir_fd=source)
    try:
        other = posix.open(name, _CREATE, 0o600, dir_fd=target)
        try:
            _copy_data(one, other, posix.fstat(one).st_size)
            _copy_attributes(one, other)
        finally:
            posix.close(other)
    finally:
        posix.close(one)


def _copy_data(source: int, target: int, size: int) -> None:
    """What is data; the holes in between stay holes."""
    posix.ftruncate(target, size)
    end = 0
    while end < size:
        try:
            start = posix.lseek(source, end, posix.SEEK_DATA)
        except OSError as error:
            if error.errno != ENXIO:
                raise
            return  # only a hole is left
        end = posix.lseek(source, start, posix.SEEK_HOLE)
        posix.lseek(target, start, 0)
        while start < end:
            sent = posix.sendfile(target, source, start, min(_CHUNK, end - start))
            if not sent:
                return
            start += sent


def _own(name: str, info: posix.stat_result, target: int) -> None:
    posix.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)
    if not S_ISLNK(info.st_mode):
        posix.chmod(name, S_IMODE(info.st_mode), dir_fd=target)  # the umask took part of it
    times = (info.st_atime_ns, info.st_mtime_ns)
    posix.utime(name, ns=times, dir_fd=target, follow_symlinks=False)


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
    posix.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))
