"""One layer of files of this machine and a minimal ``/etc``: the same input, the same bytes."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable, Mapping
from typing import IO

from corten.images.host.closure import Closure
from corten.spec._struct import Struct


class Extra(Struct):
    """A file that is not this machine's."""

    content: bytes
    mode: int = 0o644


_DIRECTORIES = {
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "run": 0o755,
    "sys": 0o555,
    "tmp": 0o1777,
    "usr": 0o755,
    "var": 0o755,
    "var/tmp": 0o1777,
}

_ETC = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n"
    b"nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": b"root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/os-release": b'NAME="Corten image from host"\nID=corten-host\n',
}


def write(out: IO[bytes], closure: Closure, extras: Mapping[str, Extra]) -> int:
    """Write the layer's archive. Blocks.

    Arguments:
        extras: more files, by path without a leading slash.
    Returns:
        the newest modification time, seconds since the epoch: when the image was "created".
    """
    files = {path.lstrip("/"): path for path in closure.paths}
    if closure.needs_cache and os.path.exists("/etc/ld.so.cache"):
        files["etc/ld.so.cache"] = "/etc/ld.so.cache"
    made = {name: Extra(content=content) for name, content in _ETC.items()} | dict(extras)
    newest = 0
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(_with_parents([*files, *made]) | set(files) | set(made)):
            if name in made:
                _add_extra(archive, name, made[name])
            elif name in files:
                newest = max(newest, _add_file(archive, name, files[name]))
            else:
                _add_directory(archive, name)
    return newest


def _with_parents(names: Iterable[str]) -> set[str]:
    found = set(_DIRECTORIES)
    for name in names:
        parent = os.path.dirname(name)
        while parent:
            found.add(parent)
            parent = os.path.dirname(parent)
    return found


def _add_directory(archive: tarfile.TarFile, name: str) -> None:
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    info.mode = _DIRECTORIES.get(name, 0o755)
    archive.addfile(info)


def _add_extra(archive: tarfile.TarFile, name: str, extra: Extra) -> None:
    info = tarfile.TarInfo(name)
    info.mode = extra.mode
    info.size = len(extra.content)
    archive.addfile(info, io.BytesIO(extra.content))


def _add_file(archive: tarfile.TarFile, name: str, path: str) -> int:
    """A link or a file; owned by root, without set-id bits (nobody asked for those)."""
    stat = os.lstat(path)
    info = tarfile.TarInfo(name)
    info.mtime = int(stat.st_mtime)
    if os.path.islink(path):
        info.type = tarfile.SYMTYPE
        info.linkname = os.readlink(path)
        info.mode = 0o777
        archive.addfile(info)
        return int(info.mtime)
    with open(path, "rb") as file:  # noqa: PTH123  # handed to tarfile
        stat = os.fstat(file.fileno())
        info.mode = stat.st_mode & 0o755
        info.size = stat.st_size
        archive.addfile(info, file)
    return int(info.mtime)
