"""The program that touches containers' files, on trees and archives that mean harm."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import socket
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from corten.errors import CortenError, DataLoss, InvalidArgument, NotFound
from corten.images.trees import lookup, tarwrite
from corten.images.trees.client import Worker, connection
from corten.images.unpack import tar
from corten.snapshots.trash import Trash
from tests.conftest import needs_root
from tests.unit.images.archives import archive, directory, entry, file, hard_link, symlink

pytestmark = needs_root


class Tree:
    """A directory that stands for a container's root, beside a place that is out of bounds."""

    def __init__(self, base: Path) -> None:
        self.root = base / "root"
        self.outside = base / "outside"
        self.scratch = base / "scratch"
        for path in (self.root, self.outside, self.scratch):
            path.mkdir()
        (self.outside / "secret").write_text("secret")
        self.before = self.snapshot()

    def snapshot(self) -> dict[str, tuple[int, bytes]]:
        return {
            str(p): (p.lstat().st_mode, p.read_bytes() if p.is_file() else b"")
            for p in self.outside.rglob("*")
        }

    def job(self, **more: Any) -> dict[str, Any]:
        where = {"kind": "directory", "path": str(self.root)}
        return {"where": where, "scratch": str(self.scratch), **more}

    async def stat(self, path: str) -> dict[str, Any]:
        async with Worker("stat", self.job(path=path)) as worker:
            found: dict[str, Any] = await worker.result()
            return found

    async def read(self, path: str) -> list[tarfile.TarInfo]:
        ours, theirs = connection()
        async with Worker("read", self.job(path=path), data=theirs) as worker:
            data = await asyncio.to_thread(_all, ours)
            await worker.item()
            await worker.result()
        with tarfile.open(fileobj=io.BytesIO(data)) as opened:
            return opened.getmembers()

    async def write(self, data: bytes, path: str = "/", **options: Any) -> None:
        job = self.job(path=path, keep_kinds=True, owner="", patience=0, ratio=2000) | options
        ours, theirs = connection()
        async with Worker("write", job, data=theirs) as worker:
            await asyncio.to_thread(_send, ours, data)
            await worker.result(lambda _: None)

    def assert_untouched(self) -> None:
        assert self.snapshot() == self.before


def _all(sock: socket.socket) -> bytes:
    data = b""
    with sock:
        while more := sock.recv(1 << 20):
            data += more
    return data


def _send(sock: socket.socket, data: bytes) -> None:
    with sock:
        try:
            sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


# reading -------------------------------------------------------------------------------------


async def test_links_stay_inside(tree: Tree) -> None:
    (tree.root / "abs").symlink_to(tree.outside / "secret")
    (tree.root / "rel").symlink_to("../outside/secret")
    (tree.root / "dir").symlink_to("/../../outside")
    found = await tree.stat("/abs")
    assert found["link_target"] == str(tree.outside / "secret")
    for path in ("/abs/", "/rel/.", "/dir/secret", "/../outside/secret"):
        with pytest.raises(NotFound):
            await tree.stat(path)
        with pytest.raises(NotFound):
            await tree.read(path)


async def test_a_tree_of_everything(tree: Tree) -> None:
    (tree.root / "d").mkdir(0o700)
    (tree.root / "d/f").write_bytes(b"x" * 1000)
    os.link(tree.root / "d/f", tree.root / "d/g")
    (tree.root / "d/l").symlink_to("f")
    os.mkfifo(tree.root / "d/p", 0o600)
    os.mknod(tree.root / "d/n", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    name = "n" * 200
    (tree.root / "d" / name).write_bytes(b"")
    os.setxattr(tree.root / "d/f", "user.a", b"b")
    members = {one.name: one for one in await tree.read("/d")}
    assert set(members) == {"d", "d/f", "d/g", "d/l", "d/p", "d/n", f"d/{name}"}
    assert members["d/g"].islnk() and members["d/g"].linkname == "d/f"
    assert members["d/l"].linkname == "f" and members["d/p"].isfifo()
    assert (members["d/n"].devmajor, members["d/n"].devminor) == (1, 3)
    assert members["d/f"].pax_headers["SCHILY.xattr.user.a"] == "b"


async def test_names_that_are_no_text(tree: Tree) -> None:
    os.mkdir(os.fsencode(tree.root) + b"/d")
    os.close(os.open(os.fsencode(tree.root) + b"/d/\xff\n", os.O_CREAT))
    names = [os.fsencode(one.name) for one in await tree.read("/d")]
    assert b"d/\xff\n" in names


async def test_depth_is_bounded(tree: Tree) -> None:
    fd = os.open(tree.root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=fd)
        deeper = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    os.close(fd)
    try:
        with pytest.raises(CortenError):
            await tree.read("/d")
    finally:  # deeper than others can delete
        trash = Trash(str(tree.scratch / "trash"))
        trash.take(str(tree.root / "d"))
        trash.empty()


# writing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        archive(file("../outside/planted")),
        archive(file("a/../../outside/planted")),
        archive(symlink("l", "../outside"), hard_link("h", "../outside/secret")),
        archive(hard_link("h", "/../../outside/secret")),
    ],
    ids=["above", "dots", "hard link up", "hard link absolute"],
)
async def test_nothing_is_made_outside(tree: Tree, data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        await tree.write(data)
    tree.assert_untouched()


async def test_links_on_the_way_stay_inside(tree: Tree) -> None:
    (tree.root / "out").symlink_to(tree.outside)
    (tree.root / "up").symlink_to("../outside")
    data = archive(
        symlink("mine", str(tree.outside)), file("mine/planted"), file("out/planted"),
        file("up/planted"), directory("out"),
    )  # fmt: skip
    try:
        await tree.write(data)
    except CortenError:
        pass  # refused or made inside: both will do
    tree.assert_untouched()


async def test_a_file_in_place_of_a_link(tree: Tree) -> None:
    """The link is replaced, what it leads to is not written."""
    (tree.root / "f").symlink_to(tree.outside / "secret")
    await tree.write(archive(file("f", b"new")))
    tree.assert_untouched()
    assert (tree.root / "f").read_text() == "new" and not (tree.root / "f").is_symlink()


async def test_devices_and_bits(tree: Tree) -> None:
    await tree.write(
        archive(
            entry("n", tarfile.CHRTYPE, devmajor=1, devminor=3),
            file("s", b"", mode=0o4755),
            directory("d", mode=0o2775),
            symlink("l", "d"),
        )
    )
    assert stat.S_ISCHR((tree.root / "n").lstat().st_mode)
    assert (tree.root / "s").stat().st_mode & 0o7777 == 0o4755
    assert (tree.root / "d").stat().st_mode & 0o7777 == 0o2775


async def test_whiteouts_are_plain_files_here(tree: Tree) -> None:
    (tree.root / "kept").write_text("1")
    await tree.write(archive(file(".wh.kept"), file(".wh..wh..opq")))
    assert (tree.root / "kept").read_text() == "1"
    assert (tree.root / ".wh.kept").is_file()


async def test_owners(tree: Tree) -> None:
    (tree.root / "etc").mkdir()
    (tree.root / "etc/passwd").write_text("root:x:0:0::/:\nweb:x:101:102::/:\n")
    await tree.write(archive(file("a", uid=7, gid=8)))
    await tree.write(archive(file("b", uid=7, gid=8)), owner="web")
    await tree.write(archive(file("c", uid=7, gid=8)), owner="5:6")
    found = [((tree.root / n).stat().st_uid, (tree.root / n).stat().st_gid) for n in "abc"]
    assert found == [(7, 8), (101, 102), (5, 6)]
    with pytest.raises(InvalidArgument, match="unable to find user nosuch"):
        await tree.write(archive(file("d")), owner="nosuch")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\0" * 100, DataLoss),
        (b"x" * 2000, DataLoss),
        (archive(file("a", b"x" * 5000))[:3000], DataLoss),
        (gzip.compress(archive(file("a", b"x" * 50_000)))[:-20], DataLoss),
        (b"\xfd7zXZ\0" + bytes(100), InvalidArgument),
    ],
    ids=["short", "no archive", "cut off", "packed and cut off", "xz"],
)
async def test_damaged_archives(tree: Tree, data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        await tree.write(data)


async def test_a_huge_header(tree: Tree) -> None:
    head = tarwrite.header(tar.Entry(b"x", b"big", 1 << 33))
    with pytest.raises(InvalidArgument, match="extended header"):
        await tree.write(head + bytes(1 << 20))


async def test_a_bomb(tree: Tree) -> None:
    data = gzip.compress(archive(file("a", bytes(300 << 20))), compresslevel=9)
    with pytest.raises(InvalidArgument, match="times its size"):
        await tree.write(data, ratio=20)


# names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        ("a", "/a"), ("/a/", "/a/"), ("/a/.", "/a/."), ("/", "/"), (".", "/."),
        ("a//b/../c", "/a/c"),
        ("/../../etc", "/etc"), ("", "/"), ("/..", "/"),
    ],
)  # fmt: skip
def test_clean(given: str, clean: str) -> None:
    assert lookup.clean(given.encode()) == clean.encode()


@pytest.mark.parametrize(
    ("path", "name"),
    [(b"/", b"/"), (b"/a", b"a"), (b"/a/", b"a"), (b"/a/.", b"."), (b"/.", b".")],
)
def test_base_name(path: bytes, name: bytes) -> None:
    assert lookup.base_name(path) == name


def test_modes_of_go() -> None:
    assert lookup.go_mode(stat.S_IFDIR | 0o1777) == 1 << 31 | 1 << 20 | 0o777
    assert lookup.go_mode(stat.S_IFREG | 0o4755) == 1 << 23 | 0o755
    assert lookup.go_mode(stat.S_IFCHR | 0o600) == 1 << 26 | 1 << 21 | 0o600


@pytest.mark.parametrize("length", [1, 99, 100, 101, 155, 256, 5000])
def test_headers_are_read_back(length: int) -> None:
    """By Python's reader, and by our own."""
    one = tar.Entry(tar.REGULAR, b"n" * length, 3)
    one.mode, one.uid, one.gid, one.mtime = 0o640, 3_000_000, 5, 1_700_000_000 * 10**9
    one.xattrs = {b"user.x" * 3: b"v\n=\0" * 20}
    data = tarwrite.header(one) + b"abc" + tarwrite.padding(3) + tarwrite.END
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        (member,) = opened.getmembers()
        assert (member.name, member.uid, member.size) == ("n" * length, 3_000_000, 3)
        assert opened.extractfile(member).read() == b"abc"  # type: ignore[union-attr]  # a file
    ((again, content),) = [(e, b"".join(map(bytes, d))) for e, d in tar.Reader(iter([data]))]
    assert content == b"abc"
    assert (again.name, again.xattrs, again.mtime) == (one.name, one.xattrs, one.mtime)
