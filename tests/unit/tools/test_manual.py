"""The manual: docs/reference is what the code says; man pages are whole."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tools import install, manual, manual_config, manual_roff


def test_the_reference_is_current() -> None:
    written = {path.name: path.read_text() for path in manual.REFERENCE.iterdir()}
    assert written == manual.reference(), "run tools/manual.py reference"


def test_every_command_has_its_page() -> None:
    names = [page.name for page in manual.pages()]
    assert len(set(names)) == len(names)
    assert {"corten", "corten-run", "corten-network-create", "corten-container-ls"} <= set(names)
    assert {"cortend", "corten-oci"} <= set(names)
    assert not [name for name in names if "__" in name]


def test_every_setting_is_explained() -> None:
    rows = [line for line in manual_config.render().splitlines() if line.startswith("| `")]
    assert [line for line in rows if line.endswith(("|  |", "| |"))] == []


def test_fields_of_a_docstring() -> None:
    doc = "Text.\n\nFields:\n    a, b: both\n        of them; ``x``.\n    c: one.\n\nMore: no."
    assert manual_config.fields(doc) == {
        "a": "both of them; `x`.", "b": "both of them; `x`.", "c": "one.",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("--all", "\\-\\-all"),
        (".x", "\\&.x"),
        ("'{{.ID}}\\t'", "\\&'{{.ID}}\\et'"),
        ("…", "\\[u2026]"),
    ],
)
def test_escapes(text: str, shown: str) -> None:
    assert manual_roff.escape(text) == shown


def test_man_pages_have_no_errors(tmp_path: Path) -> None:
    written = manual.write_man(tmp_path)
    plain = [path for path in written if not path.read_text().startswith(".so ")]
    linked = [path.read_text().split()[1] for path in written if path not in plain]
    assert all((tmp_path / target).is_file() for target in linked)
    if shutil.which("groff") is None:
        pytest.skip("needs groff")
    done = subprocess.run(
        ["groff", "-man", "-ww", "-z", "-Tutf8", *map(str, plain)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_pages_come_and_go_with_an_installation(tmp_path: Path) -> None:
    pages = tmp_path / "opt/1.0/share/man/man1"
    pages.mkdir(parents=True)
    (tmp_path / "opt/current").symlink_to("1.0")
    (pages / "corten-run.1").write_text(".TH x")
    manuals = tmp_path / install.MANUAL / "man1"
    manuals.mkdir(parents=True)
    for name in ("corten-old.1", "somebodys.1"):
        (manuals / name).write_text("")
    install.install_manual(tmp_path / "opt", tmp_path)
    assert sorted(path.name for path in manuals.iterdir()) == ["corten-run.1", "somebodys.1"]
    install.remove_system_files(tmp_path)
    assert [path.name for path in manuals.iterdir()] == ["somebodys.1"]


def test_the_installer_writes_them_with_what_it_installs(tmp_path: Path) -> None:
    lib = manual.REPOSITORY / "src"
    site = Path(sysconfig.get_path("purelib"))
    both = tmp_path / "lib"
    both.mkdir()
    for directory in (lib, site):
        for entry in directory.iterdir():
            if not (both / entry.name).exists():
                (both / entry.name).symlink_to(entry)
    install.write_manual(both, tmp_path / "man")
    assert (tmp_path / "man/man1/corten-run.1").is_file()
    assert (tmp_path / "man/man8/cortend.8").is_file()
