"""What is unpacked equals what GNU tar unpacks, whatever notation the archive is in."""

from __future__ import annotations

import os
import random
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from tests.conftest import needs_root
from tests.unit.images.archives import gnu_tar, tree, unpack


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with everything an unprivileged user can make."""
    root = tmp_path / "source"
    deep = root / ("long-" * 30) / ("name-" * 30)
    deep.mkdir(parents=True)
    (deep / "file").write_text("deep")
    (root / "empty").touch()
    (root / "big").write_bytes(os.urandom(3_000_001))
    (root / "script").write_text("#!/bin/sh\n")
    (root / "script").chmod(0o6755)
    (root / "sticky").mkdir(mode=0o1777)
    (root / "sticky").chmod(0o1777)
    (root / "locked").mkdir()
    (root / "locked" / "inside").write_text("x")
    (root / "ünïcode \n\t").write_text("odd")
    os.symlink("big", root / "link")
    os.symlink("/nowhere/" + "x" * 150, root / "dangling")
    os.link(root / "big", root / "hard")
    os.link(root / "big", deep / "hard")
    os.mkfifo(root / "fifo", 0o640)
    with (root / "sparse").open("wb") as file:
        for place in (1 << 20, 5 << 20, 9 << 20):
            file.seek(place)
            file.write(b"data" * 2000)
        file.truncate(12 << 20)
    os.setxattr(root / "empty", "user.note", b"bytes \0\n=")
    os.utime(root / "empty", ns=(5, 1_234_567_890_123_456_789))
    os.utime(deep, ns=(5, 987_654_321_000_000_001))
    (root / "locked").chmod(0o555)
    return root


def expected(data: bytes, place: Path, *options: str) -> dict[str, tuple[object, ...]]:
    place.mkdir()
    command = ["tar", "-C", str(place), "-xpf", "-", "--xattrs", *options]
    subprocess.run(command, input=data, check=True)
    return tree(place)


FORMATS = [
    ("pax", ["--format=pax", "--xattrs"]),
    ("gnu", ["--format=gnu"]),
    ("sparse-gnu", ["--format=gnu", "--sparse"]),
    ("sparse-0.0", ["--format=pax", "--sparse", "--sparse-version=0.0"]),
    ("sparse-0.1", ["--format=pax", "--sparse", "--sparse-version=0.1"]),
    ("sparse-1.0", ["--format=pax", "--sparse", "--sparse-version=1.0"]),
]


@pytest.mark.parametrize("options", [o for _, o in FORMATS], ids=[n for n, _ in FORMATS])
@pytest.mark.parametrize("piece", [1 << 20, 1000])
def test_like_gnu_tar(source: Path, tmp_path: Path, options: list[str], piece: int) -> None:
    data = gnu_tar(source, *options)
    target = tmp_path / "target"
    target.mkdir()
    unpack(data, target, piece=piece)
    assert tree(target) == expected(data, tmp_path / "expected")


def test_holes_stay_holes(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    unpack(gnu_tar(source, "--format=pax", "--sparse"), target)
    assert (target / "sparse").stat().st_blocks * 512 < 1 << 20


def test_size_and_inodes(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    made = unpack(gnu_tar(source, "--format=pax"), target)
    inodes = {path.lstat().st_ino for path in target.rglob("*")}
    assert made.inodes == len(inodes)
    files = {p.lstat().st_ino: p for p in target.rglob("*") if p.is_file() and not p.is_symlink()}
    assert made.size == sum(p.stat().st_size for p in files.values())


@needs_root
def test_owners_devices_and_file_capabilities(tmp_path: Path) -> None:
    root = tmp_path / "source"
    root.mkdir()
    os.mknod(root / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(root / "disk", 0o660 | stat.S_IFBLK, os.makedev(259, 300_000))
    (root / "owned").write_text("x")
    (root / "owned").chmod(0o4755)
    os.chown(root / "owned", 1000, 3_000_000)
    (root / "owned").chmod(0o4755)
    (root / "capable").write_text("x")
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    os.setxattr(root / "capable", "security.capability", capability)
    data = gnu_tar(root, "--format=pax", "--xattrs", "--xattrs-include=*")
    target = tmp_path / "target"
    target.mkdir()
    unpack(data, target)
    assert tree(target) == expected(data, tmp_path / "expected", "--xattrs-include=*")
    assert os.getxattr(target / "capable", "security.capability") == capability


def test_random_trees(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    root = tmp_path / "source"
    root.mkdir()
    places = [root]
    for number in range(120):
        parent = rng.choice(places)
        path = parent / f"{number}-{'n' * rng.randrange(120)}"
        kind = rng.randrange(4)
        if kind == 0:
            path.mkdir()
            places.append(path)
        elif kind == 1:
            path.write_bytes(rng.randbytes(rng.randrange(2000)))
        elif kind == 2:
            os.symlink(rng.choice(places), path)
        else:
            files = [p for p in root.rglob("*") if p.is_file() and not p.is_symlink()]
            if files:
                os.link(rng.choice(files), path)
    data = gnu_tar(root, f"--format={rng.choice(['pax', 'gnu'])}")
    target = tmp_path / "target"
    target.mkdir()
    unpack(data, target, piece=rng.choice([1 << 16, 700, 512]))
    assert tree(target) == expected(data, tmp_path / "expected")


def test_sockets_never_come_from_archives(tmp_path: Path) -> None:
    """GNU tar leaves them out, and so does everything that makes layers."""
    root = tmp_path / "source"
    root.mkdir()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(root / "s"))
        data = gnu_tar(root, "--warning=no-file-ignored")
    target = tmp_path / "target"
    target.mkdir()
    unpack(data, target)
    assert not list(target.iterdir())
