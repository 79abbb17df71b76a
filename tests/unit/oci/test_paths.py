"""Work inside a root: what links there lead to stays there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.oci.paths import Root, clean


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "root").mkdir()
    fd = os.open(tmp_path / "root", os.O_PATH | os.O_DIRECTORY)
    yield Root(fd)
    os.close(fd)


@pytest.fixture
def top(tmp_path: Path, root: Root) -> Path:
    return tmp_path / "root"


def where(fd: int) -> str:
    path = os.readlink(f"/proc/self/fd/{fd}")
    os.close(fd)
    return path


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/a/b", "/a/b"), ("a//b/", "/a/b"), ("/a/../../b", "/b"), ("/./a/.", "/a"), ("", "/")],
)
def test_clean(path: str, expected: str) -> None:
    assert clean(path) == expected


def test_directories_are_made(root: Root, top: Path) -> None:
    assert where(root.make_directory("/a/b/c")) == str(top / "a/b/c")
    assert where(root.make_directory("/a/b/c")) == str(top / "a/b/c")


@pytest.mark.parametrize(
    ("target", "made"),
    [("/run", "run"), ("run", "run"), ("../../../run", "run"), ("/x/../run/./y", "run/y")],
)
def test_links_to_nothing_are_followed_inside(
    root: Root, top: Path, target: str, made: str
) -> None:
    (top / "link").symlink_to(target)
    assert where(root.make_directory("/link/deep")) == str(top / made / "deep")


def test_link_out_of_a_directory(root: Root, top: Path) -> None:
    (top / "a").mkdir()
    (top / "a/link").symlink_to("../b")
    assert where(root.make_directory("/a/link/c")) == str(top / "b/c")


def test_loops_end(root: Root, top: Path) -> None:
    (top / "a").symlink_to("b")
    (top / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels"):
        root.make_directory("/a/c")
    with pytest.raises(OSError, match="Too many levels"):
        root.make_file("/a")


def test_files_are_made(root: Root, top: Path) -> None:
    assert where(root.make_file("/etc/hosts")) == str(top / "etc/hosts")
    assert (top / "etc/hosts").is_file()


@pytest.mark.parametrize("target", ["/etc/real", "real", "../../../../etc/real"])
def test_file_through_a_link_to_nothing(root: Root, top: Path, target: str) -> None:
    (top / "etc").mkdir()
    (top / "etc/link").symlink_to(target)
    assert where(root.make_file("/etc/link")) == str(top / "etc/real")


def test_file_in_the_way_of_a_directory(root: Root, top: Path) -> None:
    (top / "a").touch()
    with pytest.raises(NotADirectoryError):
        root.make_directory("/a/b")


def test_magic_links_are_refused(root: Root, top: Path) -> None:
    (top / "out").symlink_to("/proc/self/fd")
    # there is no procfs inside, so the link leads to nothing, inside
    assert where(root.make_directory("/out")) == str(top / "proc/self/fd")


def test_no_links_at_all(root: Root, top: Path) -> None:
    (top / "real").mkdir()
    (top / "link").symlink_to("real")
    os.close(root.open("/real", links=False))
    with pytest.raises(OSError, match="Too many levels"):
        root.open("/link", links=False)
