"""Trees to archives, by descriptors: what is read is what was looked at.

A live container may change everything meanwhile. A file that shrinks is filled up with zeros, one
that grows is cut; what vanishes between its listing and its turn is left out.
"""

from __future__ import annotations

import os
from errno import ELOOP, ENODATA, ENOENT, ENOTDIR, ENOTSUP, EOPNOTSUPP, EXDEV

from corten.errors import InvalidArgument
from corten.images.trees import tarwrite
from corten.images.unpack import tar
from corten.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    Stack = list[tuple[int, bytes, list[bytes]]]  # directory, its name, children to come

    class Output(Protocol):
        def write(self, data: bytes) -> object: ...


_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_STAY = files.RESOLVE_BENEATH | files.RESOLVE_NO_SYMLINKS | files.RESOLVE_NO_XDEV
_GONE = (ENOENT, ENOTDIR, ELOOP)
_READ = 1 << 18
_DEPTH = 2000  # directories below each other, each of which costs a descriptor
_XATTRS = (b"user.", b"security.capability", b"system.posix_acl_")
# Kernel file systems have no contents of the container's.
_KERNEL: Final = frozenset(
    (
        files.PROC_SUPER_MAGIC,
        files.SYSFS_MAGIC,
        files.CGROUP_SUPER_MAGIC,
        files.CGROUP2_SUPER_MAGIC,
        files.DEVPTS_SUPER_MAGIC,
        0x19800202,  # mqueue
    )
)


class Packer:
    """Writes members to ``out``; :meth:`end` closes the archive."""

    def __init__(self, out: Output, proc: int, *, one_mount: bool = False) -> None:
        """Arguments:
        proc: see :class:`corten.images.trees.place.Place`.
        one_mount: what other mounts cover is an empty directory or file.
        """
        self._out = out
        self._proc = proc
        self._one_mount = one_mount
        self._links: dict[tuple[int, int], bytes] = {}

    def end(self) -> None:
        """The archive's last blocks."""
        self._out.write(tarwrite.END)

    def tree(self, fd: int, name: bytes) -> None:
        """One file, or a directory with everything below it.

        Arguments:
            fd: O_PATH descriptor; stays the caller's.
            name: of the member; those below it begin with it.
        """
        stack: Stack = []
        self._visit(fd, name, stack, top=True)
        self._walk(stack)

    def contents(self, fd: int) -> None:
        """Everything below a directory, by names without a slash in front."""
        directory = os.open(b".", _LIST, dir_fd=fd)
        try:
            names = sorted([os.fsencode(one) for one in os.listdir(directory)])
            for name in names:
                stack: Stack = []
                self._child(directory, name, name, stack)
                self._walk(stack)
        finally:
            os.close(directory)

    def _walk(self, stack: Stack) -> None:
        try:
            while stack:
                directory, path, names = stack[-1]
                if not names:
                    os.close(directory)
                    stack.pop()
                    continue
                child = names.pop()
                self._child(directory, child, path + b"/" + child, stack)
        finally:
            for directory, _, _ in stack:
                os.close(directory)

    def _child(self, directory: int, name: bytes, path: bytes, stack: Stack) -> None:
        covered = False
        try:
            if self._one_mount:
                try:
                    fd = files.openat2(directory, name, _PATH, resolve=_STAY & ~4)
                except OSError as error:
                    if error.errno != EXDEV:
                        raise
                    covered = True
                    fd = os.open(name, _PATH, dir_fd=directory)
            else:
                fd = os.open(name, _PATH, dir_fd=directory)
        except OSError as error:
            if error.errno in _GONE:
                return
            raise
        try:
            self._visit(fd, path, stack, covered=covered)
        finally:
            os.close(fd)

    def _visit(
        self,
        fd: int,
        name: bytes,
        stack: Stack,
        *,
        covered: bool = False,
        top: bool = False,
    ) -> None:
        stat = os.fstat(fd)
        kind = tarwrite.kind_of(stat.st_mode)
        if kind is None:
            return
        if kind == tar.DIRECTORY:
            self.member(fd, stat, name, kind)
            if not covered and (top or files.statfs_type(fd) not in _KERNEL):
                self._enter(fd, name, stack)
        elif covered:
            self.empty(stat, name)
        else:
            self.member(fd, stat, name, kind)

    def _enter(self, fd: int, name: bytes, stack: Stack) -> None:
        if len(stack) >= _DEPTH:
            raise InvalidArgument("the directories are too deep", path=os.fsdecode(name[:200]))
        directory = os.open(b".", _LIST, dir_fd=fd)
        try:
            names = sorted([os.fsencode(one) for one in os.listdir(directory)], reverse=True)
        except BaseException:
            os.close(directory)
            raise
        stack.append((directory, b"" if name == b"/" else name, names))

    # members ---------------------------------------------------------------------------
    def empty(self, stat: os.stat_result, name: bytes) -> None:
        """A mount point that is a file."""
        entry = tarwrite.from_stat(name, stat, tar.REGULAR)
        entry.size, entry.mode = 0, stat.st_mode & 0o777
        self._out.write(tarwrite.header(entry))

    def member(self, fd: int, stat: os.stat_result, name: bytes, kind: bytes) -> None:
        """One member alone, by the descriptor that was looked at."""
        if kind != tar.DIRECTORY and stat.st_nlink > 1:
            key = (stat.st_dev, stat.st_ino)
            first = self._links.get(key)
            if first is not None:
                entry = tarwrite.from_stat(name, stat, tar.HARD_LINK, first)
                self._out.write(tarwrite.header(entry))
                return
            self._links[key] = name
        link = os.readlink(b"", dir_fd=fd) if kind == tar.SYMLINK else b""
        entry = tarwrite.from_stat(name, stat, kind, link)
        if kind == tar.REGULAR:
            self._file(fd, entry)
            return
        if kind == tar.DIRECTORY:
            directory = os.open(b".", _LIST, dir_fd=fd)
            try:
                entry.xattrs = attributes(directory)
            finally:
                os.close(directory)
        self._out.write(tarwrite.header(entry))

    def _file(self, fd: int, entry: tar.Entry) -> None:
        reader = os.open(str(fd), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=self._proc)
        try:
            entry.xattrs = attributes(reader)
            if not entry.size and files.statfs_type(reader) in _KERNEL:
                self._generated(reader, entry)
                return
            self._out.write(tarwrite.header(entry))
            left = entry.size
            while left:
                data = os.read(reader, min(left, _READ)) or bytes(min(left, _READ))
                self._out.write(data)
                left -= len(data)
            self._out.write(tarwrite.padding(entry.size))
        finally:
            os.close(reader)

    def _generated(self, reader: int, entry: tar.Entry) -> None:
        """A file of procfs: its size is known when it was read."""
        data = b""
        try:
            while len(data) < _READ and (more := os.read(reader, _READ)):
                data += more
        except OSError:
            data = b""
        entry.size = len(data)
        self._out.write(tarwrite.header(entry) + data + tarwrite.padding(len(data)))


def attributes(fd: int) -> dict[bytes, bytes]:
    """The extended attributes that archives carry."""
    found: dict[bytes, bytes] = {}
    try:
        names = os.listxattr(fd)
    except OSError:
        return found
    for name in names:
        raw = os.fsencode(name)
        if not raw.startswith(_XATTRS):
            continue
        try:
            found[raw] = os.getxattr(fd, name)
        except OSError as error:
            if error.errno not in (ENODATA, ENOTSUP, EOPNOTSUPP):
                raise
    return found
