"""``cortend --shutdown --purge``: directories in which something still happens."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from corten.daemon import shutdown


def test_a_file_that_vanishes_meanwhile_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the socket of a program that ends, or the state of a monitor that wakes."""
    tree = tmp_path / "s"
    (tree / "run").mkdir(parents=True)
    (tree / "cli.sock").touch()
    real, calls = shutil.rmtree, []

    def beaten(path: str) -> None:
        calls.append(path)
        if len(calls) == 1:
            raise FileNotFoundError(2, "No such file or directory", f"{path}/cli.sock")
        if len(calls) == 2:
            raise OSError(39, "Directory not empty", f"{path}/run")
        real(path)

    monkeypatch.setattr(shutil, "rmtree", beaten)
    shutdown._purge(str(tmp_path / "none"), str(tree))
    assert not tree.exists() and len(calls) == 3


def test_what_can_not_be_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: str) -> None:
        raise PermissionError(1, "Operation not permitted", path)

    monkeypatch.setattr(shutil, "rmtree", refused)
    monkeypatch.setattr(shutdown, "_LAST_FILES", 0.01)
    with pytest.raises(PermissionError):
        shutdown._purge(str(tmp_path), str(tmp_path / "none"))
