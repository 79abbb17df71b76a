"""What a tree takes."""

from __future__ import annotations

import os
from pathlib import Path

from corten.snapshots.measure import measure


def test_allocated_bytes_and_hard_links_once(tmp_path: Path) -> None:
    before = measure(str(tmp_path))
    assert (before.size, before.inodes) == (0, 0)
    (tmp_path / "a").write_bytes(os.urandom(100_000))
    os.link(tmp_path / "a", tmp_path / "b")
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 1 << 30)
    (tmp_path / "d").mkdir()
    usage = measure(str(tmp_path))
    assert usage.inodes == 3
    assert 100_000 <= usage.size < 200_000


def test_links_are_not_followed(tmp_path: Path) -> None:
    os.symlink("/usr", tmp_path / "usr")
    assert measure(str(tmp_path)).inodes == 1
