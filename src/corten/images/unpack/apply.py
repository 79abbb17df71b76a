"""A layer's entries become files below one directory, whatever their names say.

Every name is split, made relative and walked by descriptors below the root: links inside the
layer are followed as they would be inside the container, never out of it (the last component
is never followed). OCI image specification, layer.md.

Whiteouts become overlayfs's device 0/0 (or stay as they are, for a snapshotter that copies);
opaque directories and directories that the layer does not list are reported, because what they
need (``trusted.`` attributes, the layers below) is not in reach here.
"""

from __future__ import annotations

import os
from errno import EEXIST, EISDIR, ELOOP, ENODATA, ENOENT, ENOTDIR, ENOTEMPTY, ENOTSUP, EPERM

from corten.errors import InvalidArgument, ResourceExhausted
from corten.images.unpack import tar
from corten.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

WHITEOUT: Final = b".wh."
_OPAQUE = b".wh..wh..opq"
_AUFS = b".wh..wh."  # aufs's own book-keeping: means nothing to anybody else
_PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS = 40  # as the kernel
_CACHED = 256  # descriptors of directories kept open
_XATTRS = (b"user.", b"security.capability", b"system.posix_acl_")
_KINDS = {
    tar.CHARACTER: 0o020000,
    tar.BLOCK_DEVICE: 0o060000,
    tar.FIFO: 0o010000,
}


def refuse(name: bytes, problem: str) -> InvalidArgument:
    """The error for an entry that must not be."""
    shown = name[:200].decode("utf-8", "backslashreplace")
    return InvalidArgument(f"the layer's entry {shown!r} {problem}", step="unpack layer")


def split(name: bytes) -> list[bytes]:
    """Components of a name, relative to the root.

    Raises:
        InvalidArgument: it leads out of the root.
    """
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part in (b"", b"."):
            continue
        if part == b"..":
            if not parts:
                raise refuse(name, "leads out of the image's root")
            parts.pop()
        else:
            parts.append(part)
    return parts


class Applier:
    """Unpacks one layer below the directory ``root`` (a descriptor, which stays the caller's).

    The caller's umask must be 0.
    """

    # The last step, when directories get their times: no link may have taken their place.
    times_resolve = files.RESOLVE_BENEATH | files.RESOLVE_NO_SYMLINKS

    def __init__(self, root: int, *, overlay: bool, limit: int) -> None:
        """Arguments:
        overlay: whiteouts as device 0/0; else as plain files ``.wh.NAME``.
        limit: bytes of all files together.
        """
        self._root = root
        self._overlay = overlay
        self._left = limit
        self._owner = os.geteuid() == 0
        self._cache: dict[bytes, int] = {}
        self._whiteouts: set[bytes] = set()
        self._times: list[tuple[bytes, int]] = []
        self.size = 0
        self.inodes = 0
        self.opaque: list[bytes] = []
        self.implicit: dict[bytes, None] = {b"": None}

    # entry points ----------------------------------------------------------------------
    def apply(self, entry: tar.Entry, data: Iterator[memoryview]) -> None:
        """Make one entry.

        Raises:
            InvalidArgument: hostile or wrong. ResourceExhausted: too large. OSError.
        """
        parts = split(entry.name)
        if any([part.startswith(_AUFS) and part != _OPAQUE for part in parts]):
            return
        if not parts:
            self._root_directory(entry)
            return
        parent_path = b"/".join(parts[:-1])
        parent = self._parent(parts[:-1], parent_path, entry.name)
        name = parts[-1]
        path = b"/".join(parts)
        if name.startswith(WHITEOUT):
            self._whiteout(parent, parent_path, name, entry.name)
        else:
            self._make(parent, name, path, entry, data)

    def finish(self) -> None:
        """Set the times of directories, which changed while they were filled."""
        for path, mtime in reversed(self._times):
            try:
                fd = files.openat2(self._root, path or b".", _LIST, resolve=self.times_resolve)
            except OSError as error:
                if error.errno in (ENOENT, ENOTDIR, ELOOP):  # replaced by something else
                    continue
                raise
            os.utime(fd, ns=(mtime, mtime))
            os.close(fd)
        self._forget()

    # entries ---------------------------------------------------------------------------
    def _root_directory(self, entry: tar.Entry) -> None:
        if entry.kind != tar.DIRECTORY:
            raise refuse(entry.name, "would replace the root directory")
        self._attributes_by_name(self._root, b".", entry)
        self._times.append((b"", entry.mtime))
        self.implicit.pop(b"", None)

    def _make(
        self, parent: int, name: bytes, path: bytes, entry: tar.Entry, data: Iterator[memoryview]
    ) -> None:
        kind = entry.kind
        if kind == tar.REGULAR:
            self._file(parent, name, path, entry, data)
        elif kind == tar.DIRECTORY:
            self._directory(parent, name, path, entry)
        elif kind == tar.HARD_LINK:
            self._hard_link(parent, name, path, entry)
            return  # it shares the attributes of what it links to
        elif kind == tar.SYMLINK:
            if not entry.link:
                raise refuse(entry.name, "is a link to nothing")
            self._fresh(parent, name, path, lambda: os.symlink(entry.link, name, dir_fd=parent))
            self._attributes_by_name(parent, name, entry)
            self._time(parent, name, entry)
        else:
            self._node(parent, name, path, entry)

    def _file(
        self, parent: int, name: bytes, path: bytes, entry: tar.Entry, data: Iterator[memoryview]
    ) -> None:
        self._left -= entry.size
        if self._left < 0:
            raise ResourceExhausted("the layer is larger than allowed", step="unpack layer")
        fd = self._create(parent, name, path, entry.mode & 0o777)
        try:
            if entry.regions is None:
                for piece in data:
                    _write(fd, piece)
            else:
                _write_regions(fd, entry, data)
            if self._owner and (entry.uid or entry.gid):
                os.fchown(fd, entry.uid, entry.gid)
            if entry.mode & 0o7000:
                os.fchmod(fd, entry.mode)
            for key, value in entry.xattrs.items():
                set_xattr(fd, key, value)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)
        self.size += entry.size

    def _create(self, parent: int, name: bytes, path: bytes, mode: int) -> int:
        try:
            fd = os.open(name, _NEW, mode, dir_fd=parent)
        except FileExistsError:
            self._replace(parent, name, path)
            fd = os.open(name, _NEW, mode, dir_fd=parent)
        self.inodes += 1
        return fd

    def _directory(self, parent: int, name: bytes, path: bytes, entry: tar.Entry) -> None:
        try:
            os.mkdir(name, entry.mode & 0o777, dir_fd=parent)
            self.inodes += 1
        except FileExistsError:
            if not _is_directory(parent, name):
                self._replace(parent, name, path)
                os.mkdir(name, entry.mode & 0o777, dir_fd=parent)
                self.inodes += 1
        if self._overlay and path in self._whiteouts:  # what lies below must not shine through
            self.opaque.append(path)
        self.implicit.pop(path, None)
        self._attributes_by_name(parent, name, entry)
        self._times.append((path, entry.mtime))

    def _hard_link(self, parent: int, name: bytes, path: bytes, entry: tar.Entry) -> None:
        target = split(entry.link)
        if not target:
            raise refuse(entry.name, "is a hard link to the root directory")
        if target == split(entry.name):
            return
        source_path = b"/".join(target[:-1])
        source = self._find(source_path, entry)
        try:
            self._fresh(
                parent,
                name,
                path,
                lambda: os.link(
                    target[-1], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False
                ),
            )
        except OSError as error:
            if error.errno in (ENOENT, EPERM, ENOTDIR):
                raise refuse(entry.name, "is a hard link to what the layer doesn't have") from None
            raise
        finally:
            os.close(source)
        self.inodes -= 1

    def _node(self, parent: int, name: bytes, path: bytes, entry: tar.Entry) -> None:
        mode = _KINDS[entry.kind] | entry.mode & 0o777
        device = os.makedev(entry.major, entry.minor)
        self._fresh(parent, name, path, lambda: os.mknod(name, mode, device, dir_fd=parent))
        self._attributes_by_name(parent, name, entry)
        self._time(parent, name, entry)

    def _whiteout(self, parent: int, parent_path: bytes, name: bytes, full: bytes) -> None:
        if name == _OPAQUE:
            if self._overlay:
                self.opaque.append(parent_path)
            else:
                os.close(self._create(parent, name, parent_path + b"/" + name, 0o600))
            return
        hidden = name[len(WHITEOUT) :]
        if hidden in (b"", b".", b".."):
            raise refuse(full, "is a whiteout of nothing")
        self._whiteouts.add(parent_path + b"/" + hidden if parent_path else hidden)
        try:
            if self._overlay:
                os.mknod(hidden, 0o020000, 0, dir_fd=parent)
            else:
                os.close(os.open(name, _NEW, 0o600, dir_fd=parent))
            self.inodes += 1
        except FileExistsError:
            # The layer has the name itself: a whiteout hides what lies below, nothing here.
            if self._overlay and _is_directory(parent, hidden):
                self.opaque.append(parent_path + b"/" + hidden if parent_path else hidden)

    # attributes ------------------------------------------------------------------------
    def _attributes_by_name(self, parent: int, name: bytes, entry: tar.Entry) -> None:
        """Owner, mode and extended attributes of what is no regular file."""
        if self._owner:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        if entry.kind != tar.SYMLINK:  # the name was just made, by us, and is no link
            os.chmod(name, entry.mode, dir_fd=parent)
        if entry.xattrs and entry.kind == tar.DIRECTORY:
            fd = os.open(name, _LIST, dir_fd=parent)
            try:
                for key, value in entry.xattrs.items():
                    set_xattr(fd, key, value)
            finally:
                os.close(fd)

    def _time(self, parent: int, name: bytes, entry: tar.Entry) -> None:
        times = (entry.mtime, entry.mtime)
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)

    # what is in the way ----------------------------------------------------------------
    def _fresh(self, parent: int, name: bytes, path: bytes, make: object) -> None:
        assert callable(make)
        try:
            make()
        except FileExistsError:
            self._replace(parent, name, path)
            make()
        self.inodes += 1

    def _replace(self, parent: int, name: bytes, path: bytes) -> None:
        """An archive may hold a name twice; the last one counts."""
        self._forget(keep=parent)
        try:
            os.unlink(name, dir_fd=parent)
            self.inodes -= 1
        except OSError as error:
            if error.errno not in (EISDIR, EPERM):
                raise
            self.inodes -= _remove_tree(parent, name)
        inside = path + b"/"
        for implicit in [one for one in self.implicit if one == path or one.startswith(inside)]:
            del self.implicit[implicit]
        self.opaque = [one for one in self.opaque if one != path and not one.startswith(inside)]

    # directories -----------------------------------------------------------------------
    def _parent(self, parts: list[bytes], path: bytes, full: bytes) -> int:
        """A descriptor of the directory an entry goes into; it stays ours."""
        if not parts:
            return self._root
        fd = self._cache.get(path)
        if fd is not None:
            return fd
        try:
            fd = files.openat2(self._root, path, _PATH & ~os.O_NOFOLLOW)
        except OSError as error:
            if error.errno != ENOENT:
                if error.errno in (ENOTDIR, ELOOP):
                    raise refuse(full, "lies below what is no directory") from None
                raise
            fd = self._make_directories(parts, full)
        if len(self._cache) >= _CACHED:
            self._forget()
        self._cache[path] = fd
        return fd

    def _make_directories(self, parts: list[bytes], full: bytes) -> int:
        """Walk down from the root, making what is missing; links may lead to what only the
        layers below have (``lib`` to ``usr/lib``), which is then made here as well."""
        todo = parts[::-1]
        walked: list[bytes] = []
        links = 0
        fd = os.dup(self._root)
        while todo:
            part = todo.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                if walked:
                    walked.pop()
                fd = self._again(fd, walked)
                continue
            link = self._step_link(fd, part)
            if link is not None:
                links += 1
                if links > _LINKS:
                    os.close(fd)
                    raise refuse(full, "has too many links in its path")
                todo += link.split(b"/")[::-1]
                if link.startswith(b"/"):
                    walked.clear()
                    fd = self._again(fd, walked)
                continue
            walked.append(part)
            fd = self._step(fd, part, walked, full)
        return fd

    def _step_link(self, fd: int, part: bytes) -> bytes | None:
        try:
            return os.readlink(part, dir_fd=fd)
        except OSError:
            return None

    def _step(self, fd: int, part: bytes, walked: list[bytes], full: bytes) -> int:
        try:
            try:
                os.mkdir(part, 0o755, dir_fd=fd)
            except FileExistsError:
                pass
            else:
                self.inodes += 1
                self.implicit[b"/".join(walked)] = None
            return os.open(part, _PATH, dir_fd=fd)
        except NotADirectoryError:
            raise refuse(full, "lies below what is no directory") from None
        finally:
            os.close(fd)

    def _again(self, fd: int, walked: list[bytes]) -> int:
        os.close(fd)
        path = b"/".join(walked) or b"."
        return files.openat2(self._root, path, _PATH & ~os.O_NOFOLLOW)

    def _find(self, path: bytes, entry: tar.Entry) -> int:
        try:
            return files.openat2(self._root, path or b".", _PATH & ~os.O_NOFOLLOW)
        except OSError as error:
            if error.errno in (ENOENT, ENOTDIR, ELOOP):
                raise refuse(entry.name, "is a hard link to what the layer doesn't have") from None
            raise

    def _forget(self, keep: int = -1) -> None:
        """Close the directories that are kept open, but for the one that is in use."""
        kept = {path: fd for path, fd in self._cache.items() if fd == keep}
        for fd in self._cache.values():
            if fd != keep:
                os.close(fd)
        self._cache = kept


def _write(fd: int, piece: memoryview) -> None:
    done = os.write(fd, piece)
    while done < len(piece):
        done += os.write(fd, piece[done:])


def _write_regions(fd: int, entry: tar.Entry, data: Iterator[memoryview]) -> None:
    """A sparse file: what lies between the regions stays a hole."""
    rest = memoryview(b"")
    for offset, length in entry.regions or ():
        os.lseek(fd, offset, os.SEEK_SET)
        while length:
            if not rest:
                rest = next(data)
            piece = rest[:length]
            _write(fd, piece)
            rest = rest[len(piece) :]
            length -= len(piece)
    os.ftruncate(fd, entry.real_size)


def set_xattr(fd: int, key: bytes, value: bytes) -> None:
    """Those that mean something in a container; ``trusted.`` would speak to overlayfs."""
    if not key.startswith(_XATTRS):
        return
    try:
        os.setxattr(fd, key, value)
    except OSError as error:
        if error.errno not in (ENOTSUP, ENODATA, EPERM):
            raise


def _is_directory(parent: int, name: bytes) -> bool:
    mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    return mode & 0o170000 == 0o040000


def _remove_tree(parent: int, name: bytes) -> int:
    """Remove a directory that this layer made; how many inodes went. Depth is the archive's,
    which paths of at most 4096 bytes bound."""
    count = 1
    fd = os.open(name, _LIST, dir_fd=parent)
    try:
        for child in os.listdir(fd):
            raw = os.fsencode(child)
            try:
                os.unlink(raw, dir_fd=fd)
                count += 1
            except OSError as error:
                if error.errno not in (EISDIR, EPERM, EEXIST, ENOTEMPTY):
                    raise
                count += _remove_tree(fd, raw)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent)
    return count
