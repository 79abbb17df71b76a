"""Deleting what strangers wrote."""

from __future__ import annotations

import os
from pathlib import Path

from corten.snapshots.trash import Trash


def test_a_tree_is_gone_at_once_and_deleted_later(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/b/file").touch()
    trash = Trash(str(tmp_path / "trash"))
    trash.take(str(tree))
    assert not tree.exists()
    trash.empty()
    assert list((tmp_path / "trash").iterdir()) == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").touch()
    tree = tmp_path / "tree"
    tree.mkdir()
    os.symlink(outside, tree / "link")
    trash = Trash(str(tmp_path / "trash"))
    trash.take(str(tree))
    os.symlink(outside, tmp_path / "bare")
    trash.take(str(tmp_path / "bare"))
    trash.empty()
    assert (outside / "keep").exists()


def test_deeper_than_any_path_or_recursion(tmp_path: Path) -> None:
    top = tmp_path / "deep"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d" * 20, dir_fd=fd)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    trash = Trash(str(tmp_path / "trash"))
    trash.take(str(top))
    trash.empty()
    assert list((tmp_path / "trash").iterdir()) == []


def test_what_an_earlier_process_left(tmp_path: Path) -> None:
    (tmp_path / "trash").mkdir()
    for number in range(1, 5):
        left = tmp_path / "trash" / f"{os.getpid()}-{number}"
        left.mkdir()
        (left / "x").touch()
    (tmp_path / "new").mkdir()
    trash = Trash(str(tmp_path / "trash"))
    trash.take(str(tmp_path / "new"))
    trash.take(str(tmp_path / "nothing"))
    trash.empty()
    assert list((tmp_path / "trash").iterdir()) == []
