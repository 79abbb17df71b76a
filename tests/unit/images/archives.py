"""Making archives for tests: by Python's ``tarfile``, by GNU tar, or byte by byte."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corten.images.unpack import apply, tar

NOW = 1_700_000_000


def archive(*members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A pax archive of members, with data where it is given."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as writer:
        for member in members:
            info, data = member if isinstance(member, tuple) else (member, b"")
            info.size = len(data)
            writer.addfile(info, io.BytesIO(data))
    return out.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> tarfile.TarInfo:
    """One member owned by whoever runs the test."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    info.uid, info.gid, info.mtime = os.getuid(), os.getgid(), NOW
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def file(name: str, data: bytes = b"x", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, **fields), data


def directory(name: str, **fields: Any) -> tarfile.TarInfo:
    return entry(name, tarfile.DIRTYPE, **fields)


def symlink(name: str, target: str) -> tarfile.TarInfo:
    return entry(name, tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str) -> tarfile.TarInfo:
    return entry(name, tarfile.LNKTYPE, linkname=target)


def gnu_tar(source: Path, *options: str) -> bytes:
    """What GNU tar makes of a directory's contents."""
    command = ["tar", "-C", str(source), "-cf", "-", *options, "."]
    return subprocess.run(command, check=True, capture_output=True).stdout


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def unpack(
    data: bytes, target: Path, *, overlay: bool = False, piece: int = 1 << 20, limit: int = 1 << 40
) -> apply.Applier:
    """Unpack in this process, as the worker does."""
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    mask = os.umask(0)
    try:
        applier = apply.Applier(root, overlay=overlay, limit=limit)
        reader = tar.Reader(pieces(data, piece))
        for member, content in reader:
            applier.apply(member, content)
        reader.drain()
        applier.finish()
        return applier
    finally:
        os.umask(mask)
        os.close(root)


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """All there is below a directory, with everything a layer carries."""
    found: dict[str, tuple[object, ...]] = {}
    links: dict[int, str] = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        name = str(path.relative_to(root))
        content: object = None
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = path.read_bytes()
        first = links.setdefault(info.st_ino, name) if info.st_nlink > 1 else name
        if path.is_dir() and not path.is_symlink():
            first = name
        attributes = {
            key: os.getxattr(path, key, follow_symlinks=False)
            for key in os.listxattr(path, follow_symlinks=False)
        }
        found[name] = (
            oct(info.st_mode),
            info.st_uid,
            info.st_gid,
            info.st_mtime_ns,
            info.st_rdev,
            first,
            content,
            tuple(sorted(attributes.items())),
        )
    return found
