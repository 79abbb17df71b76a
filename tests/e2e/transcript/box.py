"""The images of the transcript: Debian's static busybox with a few files around it."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

BUSYBOX = Path("/bin/busybox")
PASSWD = """\
root:x:0:0:root:/root:/bin/sh
ann:x:1000:1000::/home/ann:/bin/sh
nobody:x:65534:65534::/:/bin/false
"""
GROUP = """\
root:x:0:
ann:x:1000:
extra:x:1001:ann
nogroup:x:65534:
"""
PROGRAMS = {  # name to text, mode: what can go wrong with an exec
    "usr/local/bin/script": ("#!/bin/sh\necho script $#\n", 0o755),
    "usr/local/bin/noexec": ("#!/bin/sh\necho never\n", 0o644),
    "usr/local/bin/nointerp": ("#!/nosuch/interpreter\n", 0o755),
    "usr/local/bin/garbage": ("\0\1\2\3 no program\n", 0o755),
}
ENTRY = {  # the configuration of the second image
    "Entrypoint": ["echo", "entry"],
    "Cmd": ["one", "two"],
    "Env": ["COLOUR=blue", "EMPTY="],
    "User": "ann",
    "WorkingDir": "/home/ann",
}


VOLUMES: dict[str, Any] = {"Volumes": {"/data": {}}}  # the configuration of the third image


def root_file_system(*, data: bool = False) -> bytes:
    """A tar archive, the same bytes on every machine with the same busybox.

    Arguments:
        data: with the files of the third image, where its volume is mounted.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in ("bin", "dev", "etc", "home", "home/ann", "proc", "root", "sys", "usr"):
            _directory(archive, name)
        for name in ("usr/local", "usr/local/bin", "var"):
            _directory(archive, name)
        _directory(archive, "tmp", 0o1777)
        _file(archive, "bin/busybox", BUSYBOX.read_bytes(), 0o755)
        for applet in _applets():
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        _file(archive, "etc/passwd", PASSWD.encode(), 0o644)
        _file(archive, "etc/group", GROUP.encode(), 0o644)
        for name, (text, mode) in PROGRAMS.items():
            _file(archive, name, text.encode(), mode)
        if data:
            _data(archive)
    return buffer.getvalue()


def _data(archive: tarfile.TarFile) -> None:
    """All kinds of files, and links out of it."""
    for name, kind, link in (
        ("data", tarfile.DIRTYPE, ""),
        ("data/sub", tarfile.DIRTYPE, ""),
        ("data/link", tarfile.SYMTYPE, "seed"),
        ("data/out", tarfile.SYMTYPE, "/../../etc/passwd"),
        ("data/pipe", tarfile.FIFOTYPE, ""),
        ("linked", tarfile.SYMTYPE, "data/sub"),
        ("outside", tarfile.SYMTYPE, "../../../../../tmp"),
    ):
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname, entry.mode = kind, link, 0o750
        entry.uid = entry.gid = 1000
        archive.addfile(entry)
    _file(archive, "data/seed", b"seeded\n", 0o640)
    _file(archive, "data/sub/deep", b"deep\n", 0o644)
    hard = tarfile.TarInfo("data/hard")
    hard.type, hard.linkname, hard.mode = tarfile.LNKTYPE, "data/seed", 0o640
    archive.addfile(hard)


def changes() -> list[str]:
    """:data:`ENTRY` as ``docker import --change`` options."""
    instructions = [
        'ENTRYPOINT ["echo", "entry"]',
        'CMD ["one", "two"]',
        "ENV COLOUR=blue EMPTY=",
        "USER ann",
        "WORKDIR /home/ann",
    ]
    return [word for instruction in instructions for word in ("--change", instruction)]


def _applets() -> list[str]:
    listed = subprocess.run(
        [BUSYBOX, "--list"], capture_output=True, text=True, check=True
    ).stdout.split()
    return sorted(name for name in listed if name != "busybox")


def _directory(archive: tarfile.TarFile, name: str, mode: int = 0o755) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    archive.addfile(entry)


def _file(archive: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))
