"""The installer: what it leaves and what it takes away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import install


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """As an installation leaves it."""
    prefix = tmp_path / "opt/corten"
    (prefix / "1.0/bin").mkdir(parents=True)
    (prefix / "1.0/bin/cortend").write_text("#!/bin/sh\n")
    (prefix / "current").symlink_to("1.0")
    (prefix / ".apt-added").write_text("nftables\nlibnftables1\n")
    return prefix


def test_the_list_of_packages_outlives_an_uninstall_for_a_later_purge(prefix: Path) -> None:
    assert install.remove_tree(prefix, purge=False) == ["nftables", "libnftables1"]
    assert [path.name for path in prefix.iterdir()] == [".apt-added"]
    assert install.remove_tree(prefix, purge=True) == ["nftables", "libnftables1"]
    assert not prefix.exists()


def test_without_packages_nothing_stays(prefix: Path) -> None:
    (prefix / ".apt-added").unlink()
    assert install.remove_tree(prefix, purge=False) == []
    assert not prefix.exists()


def test_the_runtimes_empty_directory_goes_and_a_container_stays(tmp_path: Path) -> None:
    state = tmp_path / "run/corten-oci"
    (state / ".empty").mkdir(parents=True)
    (state / "somebodys").mkdir()
    install.remove_system_files(tmp_path)
    assert [path.name for path in state.iterdir()] == ["somebodys"]
    (state / "somebodys").rmdir()
    (state / ".empty").mkdir()
    install.remove_system_files(tmp_path)
    assert not state.exists()


def test_an_installation_ends_with_the_daemons_restart(
    prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = prefix / "called"
    (prefix / "1.0/bin/cortend").write_text(f'#!/bin/sh\necho "$@" > {called}\n')
    (prefix / "1.0/bin/cortend").chmod(0o755)
    install.restart_daemon(prefix)
    assert called.read_text() == "--restart\n"
    (prefix / "1.0/bin/cortend").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(SystemExit, match="could not be replaced"):
        install.restart_daemon(prefix)
