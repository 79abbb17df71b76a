"""The caller's side of ``cp``: archives of local files, and archives unpacked locally.

What comes out of a container is hostile: members are made below one directory by descriptors,
no link is followed on the way, nothing is made above it.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from typing import IO

from corten.errors import InvalidArgument

_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def pack(out: IO[bytes], source: str, name: str) -> None:
    """Write an archive of a file or tree.

    Arguments:
        name: what its top is called; ``.``: a directory's contents.
    """
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        archive.add(source, arcname=name)


class Unpacker:
    """Makes the members of an archive.

    Arguments:
        target: the directory or file that the archive's top becomes.
        owners: keep them (``cp --archive``).
    """

    def __init__(self, target: str, *, owners: bool) -> None:
        parent, self._name = os.path.split(os.path.abspath(target))
        self._root = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._owners = owners and os.geteuid() == 0
        self._times: list[tuple[list[str], tarfile.TarInfo]] = []

    def close(self) -> None:
        """Set the directories' times and modes, which would have been in the way."""
        try:
            for parts, info in reversed(self._times):
                directory = self._walk(parts)
                try:
                    os.fchmod(directory, info.mode & 0o7777)
                    os.utime(directory, (info.mtime, info.mtime))
                finally:
                    os.close(directory)
        finally:
            os.close(self._root)

    def add(self, archive: tarfile.TarFile, info: tarfile.TarInfo, parts: list[str]) -> None:
        """One member; ``parts`` are its name below the top."""
        whole = [self._name, *parts]
        if ".." in whole:
            raise InvalidArgument(f"the archive has the name {info.name!r}: it is refused")
        parent = self._walk(whole[:-1])
        try:
            self._make(archive, info, whole, parent)
        finally:
            os.close(parent)

    def _walk(self, parts: list[str]) -> int:
        fd = os.dup(self._root)
        for part in parts:
            try:
                deeper = os.open(part, _LIST, dir_fd=fd)
            finally:
                os.close(fd)
            fd = deeper
        return fd

    def _make(
        self, archive: tarfile.TarFile, info: tarfile.TarInfo, whole: list[str], parent: int
    ) -> None:
        name = whole[-1]
        if info.isdir():
            self._directory(info, whole, parent)
            return
        _clear(parent, name)
        if info.issym():
            os.symlink(info.linkname, name, dir_fd=parent)
            self._own(info, name, parent)
        elif info.isfile():
            self._file(archive, info, name, parent)
        elif info.islnk():
            self._link(info, name, parent)
        elif info.isfifo():
            os.mkfifo(name, info.mode & 0o777, dir_fd=parent)
        elif os.geteuid() == 0 and (info.ischr() or info.isblk()):
            kind = stat.S_IFCHR if info.ischr() else stat.S_IFBLK
            device = os.makedev(info.devmajor, info.devminor)
            os.mknod(name, kind | info.mode & 0o777, device, dir_fd=parent)

    def _directory(self, info: tarfile.TarInfo, whole: list[str], parent: int) -> None:
        try:
            os.mkdir(whole[-1], 0o700, dir_fd=parent)
        except FileExistsError:
            mode = os.stat(whole[-1], dir_fd=parent, follow_symlinks=False).st_mode
            if not stat.S_ISDIR(mode):
                raise InvalidArgument(
                    f'cannot overwrite non-directory "{whole[-1]}" with directory'
                ) from None
            return
        self._own(info, whole[-1], parent)
        self._times.append((whole, info))

    def _file(
        self, archive: tarfile.TarFile, info: tarfile.TarInfo, name: str, parent: int
    ) -> None:
        data = archive.extractfile(info)
        assert data is not None
        fd = os.open(name, _NEW, 0o600, dir_fd=parent)
        with os.fdopen(fd, "wb") as file:
            shutil.copyfileobj(data, file, 1 << 20)
            if self._owners:
                os.fchown(fd, info.uid, info.gid)
            os.fchmod(fd, info.mode & 0o7777)
            file.flush()
            os.utime(fd, (info.mtime, info.mtime))

    def _link(self, info: tarfile.TarInfo, name: str, parent: int) -> None:
        """A hard link to a member that came before, under its name below the top."""
        target = [part for part in info.linkname.split("/") if part not in ("", ".")][1:]
        if ".." in target:
            raise InvalidArgument(f"the archive has a link to {info.linkname!r}: it is refused")
        source = [self._name, *target]
        directory = self._walk(source[:-1])
        try:
            os.link(
                source[-1], name, src_dir_fd=directory, dst_dir_fd=parent, follow_symlinks=False
            )
        finally:
            os.close(directory)

    def _own(self, info: tarfile.TarInfo, name: str, parent: int) -> None:
        if self._owners:
            os.chown(name, info.uid, info.gid, dir_fd=parent, follow_symlinks=False)


def _clear(parent: int, name: str) -> None:
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise InvalidArgument(f'cannot overwrite directory "{name}" with non-directory')
    os.unlink(name, dir_fd=parent)


def unpack(source: IO[bytes], target: str, *, owners: bool) -> None:
    """Make what an archive has; its top becomes ``target``."""
    unpacker = Unpacker(target, owners=owners)
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for info in archive:
                parts = [part for part in info.name.split("/") if part not in ("", ".")]
                unpacker.add(archive, info, parts[1:])
    finally:
        unpacker.close()


def unpack_contents(source: IO[bytes], target: str, *, owners: bool) -> None:
    """Make what a directory's archive has, below ``target``, which exists."""
    unpacker = Unpacker(target, owners=owners)
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for info in archive:
                parts = [part for part in info.name.split("/") if part not in ("", ".")]
                if parts:
                    unpacker.add(archive, info, parts)
    finally:
        unpacker.close()
