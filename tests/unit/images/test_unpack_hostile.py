"""Layers that want out, or that are not what they should be."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from corten.errors import CortenError, DataLoss, InvalidArgument, ResourceExhausted
from corten.snapshots.trash import Trash
from tests.unit.images import archives
from tests.unit.images.archives import (
    archive,
    directory,
    entry,
    file,
    hard_link,
    symlink,
    unpack,
)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    place = tmp_path / "outer" / "root"
    place.mkdir(parents=True)
    (tmp_path / "outer" / "secret").write_text("secret")
    (tmp_path / "outside").mkdir()
    return place


def untouched(target: Path) -> None:
    """Nothing outside was changed."""
    assert (target.parent / "secret").read_text() == "secret"
    assert sorted(p.name for p in target.parent.iterdir()) == ["root", "secret"]
    assert not list((target.parent.parent / "outside").iterdir())


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/../evil", "a/b/../../../evil", "..", "a/../.."]
)
def test_names_that_lead_out_are_refused(target: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match="leads out"):
        unpack(archive(file(name)), target)
    untouched(target)


def test_absolute_names_are_relative_to_the_root(target: Path) -> None:
    unpack(archive(file("/etc/passwd", b"ours")), target)
    assert (target / "etc/passwd").read_bytes() == b"ours"
    untouched(target)


@pytest.mark.parametrize("up", ["/outside", "../../outside", "../../../../../../../../outside"])
def test_a_file_through_a_link_stays_inside(target: Path, up: str) -> None:
    link = str(target.parent.parent) + up if up.startswith("/") else up
    unpack(archive(symlink("link", link), file("link/evil")), target)
    untouched(target)
    assert [p for p in target.rglob("evil") if p.is_file()]


def test_a_file_replaces_a_link_and_does_not_follow_it(target: Path) -> None:
    secret = target.parent / "secret"
    unpack(archive(symlink("a", str(secret)), file("a", b"new")), target)
    assert not (target / "a").is_symlink()
    assert (target / "a").read_bytes() == b"new"
    untouched(target)


def test_a_directory_replaces_a_link(target: Path) -> None:
    outside = str(target.parent.parent / "outside")
    unpack(archive(symlink("d", outside), directory("d"), file("d/evil")), target)
    assert (target / "d/evil").is_file()
    untouched(target)


def test_attributes_do_not_follow_links(target: Path) -> None:
    secret = target.parent / "secret"
    secret.chmod(0o600)
    unpack(archive(symlink("a", str(secret)), symlink("a", str(secret))), target)
    assert secret.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("to", ["../secret", "/outer/secret", "a/../../secret", "link/secret"])
def test_hard_links_to_the_outside(target: Path, to: str) -> None:
    outer = str(target.parent)
    with pytest.raises(InvalidArgument):
        unpack(archive(symlink("link", outer), hard_link("evil", to)), target)
    untouched(target)


def test_a_hard_link_to_a_link_is_the_link(target: Path) -> None:
    secret = str(target.parent / "secret")
    data = archive(symlink("a", secret), hard_link("b", "a"), file("b", b"new"))
    unpack(data, target)
    untouched(target)
    assert (target / "b").read_bytes() == b"new"


def test_circular_links_on_the_way(target: Path) -> None:
    with pytest.raises(InvalidArgument):
        unpack(archive(symlink("a", "b"), symlink("b", "a"), file("a/x")), target)


def test_below_a_file(target: Path) -> None:
    with pytest.raises(InvalidArgument, match="no directory"):
        unpack(archive(file("a"), file("a/b")), target)


def test_links_to_what_only_lower_layers_have(target: Path) -> None:
    """A merged /usr: the layer has the link, the directory lies below."""
    made = unpack(archive(symlink("lib", "usr/lib"), file("lib/x.so")), target)
    assert (target / "usr/lib/x.so").is_file()
    assert (target / "lib").is_symlink()
    assert set(made.implicit) == {b"", b"usr", b"usr/lib"}


def test_directories_not_listed_are_reported(target: Path) -> None:
    made = unpack(archive(directory("."), file("a/b/c"), directory("a")), target)
    assert set(made.implicit) == {b"a/b"}


def test_the_last_of_two_entries_counts(target: Path) -> None:
    data = archive(file("a", b"1"), file("a", b"2"), directory("d"), file("d/x"), file("d", b"3"))
    made = unpack(data, target)
    assert (target / "a").read_bytes() == b"2"
    assert (target / "d").read_bytes() == b"3"
    assert made.inodes == 2


def test_a_directory_twice_keeps_its_contents(target: Path) -> None:
    unpack(archive(directory("d"), file("d/x"), directory("d", mode=0o700)), target)
    assert (target / "d/x").is_file()
    assert (target / "d").stat().st_mode & 0o777 == 0o700


def test_the_root_can_only_be_a_directory(target: Path) -> None:
    with pytest.raises(InvalidArgument, match="root directory"):
        unpack(archive(symlink(".", "/etc")), target)


def test_whiteouts_as_files(target: Path) -> None:
    data = archive(file("d/.wh.gone"), file("d/.wh..wh..opq"), file(".wh..wh.plnk/x"))
    unpack(data, target)
    assert sorted(p.name for p in (target / "d").iterdir()) == [".wh..wh..opq", ".wh.gone"]
    assert sorted(p.name for p in target.iterdir()) == ["d"]


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "d/.wh..."])
def test_whiteouts_of_nothing(target: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match="whiteout of nothing"):
        unpack(archive(file(name)), target)


def test_attributes_that_speak_to_overlayfs_are_dropped(target: Path) -> None:
    records = {"SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.user.ok": "1"}
    unpack(archive(file("a", pax_headers=records)), target)
    assert os.listxattr(target / "a") == ["user.ok"]


def test_limit(target: Path) -> None:
    with pytest.raises(ResourceExhausted, match="larger than allowed"):
        unpack(archive(file("a", b"x" * 600), file("b", b"x" * 600)), target, limit=1000)


def test_a_sparse_file_counts_by_its_data(target: Path) -> None:
    records = {"GNU.sparse.size": str(1 << 40), "GNU.sparse.map": "0,3"}
    unpack(archive(file("a", b"abc", pax_headers=records)), target, limit=1000)
    assert (target / "a").stat().st_size == 1 << 40


WHOLE = archive(file("a", b"x" * 2000), file("n" * 150, b"y" * 700))


@pytest.mark.parametrize("length", [100, 511, 513, 1500, 2048, 2900, 3100, 3600, 4200])
def test_cut_off(target: Path, length: int) -> None:
    with pytest.raises(DataLoss):
        unpack(WHOLE[:length], target)


def test_no_end_marker_is_needed(target: Path) -> None:
    body = WHOLE.rstrip(b"\0")
    unpack(body + b"\0" * (-len(body) % 512), target)
    assert len(list(target.iterdir())) == 2


def patched(offset: int, value: bytes) -> bytes:
    """A header with other bytes and a checksum that is right."""
    block = bytearray(WHOLE[:512])
    block[offset : offset + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + WHOLE[512:]


@pytest.mark.parametrize(
    "data",
    [
        b"\1" * 1024,
        WHOLE[:300] + b"\1" + WHOLE[301:],
        patched(124, b"99999999999\0"),
        patched(124, b"\xff" * 12),
        patched(100, b"12345x7\0"),
        patched(156, b"Z"),
    ],
    ids=["noise", "checksum", "not octal", "negative", "mode", "type"],
)
def test_damaged_headers(target: Path, data: bytes) -> None:
    with pytest.raises((DataLoss, InvalidArgument)):
        unpack(data, target)


def test_a_huge_number_is_no_huge_allocation(target: Path) -> None:
    with pytest.raises(CortenError):
        unpack(patched(124, b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7), target)


@pytest.mark.parametrize(
    "records",
    [
        {"size": "-5"},
        {"mtime": "soon"},
        {"path": "a\0b"},
        {"GNU.sparse.size": "5", "GNU.sparse.map": "0,9"},
        {"GNU.sparse.size": "5", "GNU.sparse.map": "3,1,0,1"},
        {"GNU.sparse.size": "5", "GNU.sparse.map": "1"},
        {"GNU.sparse.major": "1", "GNU.sparse.realsize": "5"},
    ],
)
def test_damaged_extended_headers(target: Path, records: dict[str, str]) -> None:
    with pytest.raises(DataLoss):
        unpack(archive(file("a", b"ab", pax_headers=records)), target)


def test_an_extended_header_of_gigabytes_is_refused(target: Path) -> None:
    data = bytearray(patched(156, b"x"))
    data[124:136] = b"77777777777\0"
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    with pytest.raises(InvalidArgument, match="extended header"):
        unpack(bytes(data), target)


def test_deep_names(target: Path) -> None:
    unpack(archive(file("d/" * 1500 + "x")), target)
    with pytest.raises((OSError, CortenError)):
        unpack(archive(file("d/" * 3000 + "x")), target)
    trash = Trash(str(target.parent / "trash"))  # pytest can't delete that deep
    trash.take(str(target))
    trash.empty()


def fifo(name: str) -> tarfile.TarInfo:
    return entry(name, tarfile.FIFOTYPE)


@pytest.mark.parametrize("make", [fifo, directory, lambda n: symlink(n, "x")])
def test_special_entries_replace_and_are_replaced(
    target: Path, make: Callable[[str], tarfile.TarInfo]
) -> None:
    made = unpack(archive(file("a"), make("a"), file("a", b"end")), target)
    assert (target / "a").read_bytes() == b"end"
    assert made.inodes == 1


def test_names_are_bytes(target: Path) -> None:
    info = archives.entry("x")
    info.name = "caf\udce9"
    data = tarfile.TarInfo.tobuf(info, format=tarfile.GNU_FORMAT, errors="surrogateescape")
    unpack(data + b"\0" * 1024, target)
    assert os.listdir(os.fsencode(target)) == [b"caf\xe9"]


def test_a_name_twice_below_a_directory(tmp_path: Path) -> None:
    """The directory that is kept open for the first is still open for the second."""
    unpack(archive(directory("d"), file("d/f", b"1"), file("d/f", b"2"), file("d/g")), tmp_path)
    assert (tmp_path / "d/f").read_bytes() == b"2" and (tmp_path / "d/g").exists()
