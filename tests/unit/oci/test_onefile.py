"""The file with all code: used when it fits, never when a source has changed."""

from __future__ import annotations

import marshal
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from corten.oci import onefile
from tests.harness import SOURCE
from tools.install import write_program

# What the program does, before its command: says whether the file was used, and a version.
TOLD = """
    from corten.oci import onefile
    from corten.spec import runtime
    print(onefile.used(), runtime.VERSION, flush=True)
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    shutil.copytree(
        SOURCE / "corten", tmp_path / "corten", ignore=shutil.ignore_patterns("__pycache__")
    )
    (tmp_path / "corten/__pycache__").mkdir()
    cli = tmp_path / "corten/oci/cli.py"
    begin = "    argv = sys.argv\n"
    assert begin in cli.read_text()
    cli.write_text(cli.read_text().replace(begin, begin + TOLD, 1))
    write_program(tmp_path / "corten-oci", "corten-oci", (tmp_path,))
    return tmp_path


def said(package: Path) -> list[str]:
    (package / "state").mkdir(exist_ok=True)  # list fails for a root that is named and not there
    argv = [str(package / "corten-oci"), "--root", str(package / "state"), "list", "--quiet"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()


def test_the_second_command_reads_one_file(package: Path) -> None:
    version = said(package)[1]
    assert said(package) == ["True", version]


def test_a_changed_source_counts(package: Path) -> None:
    said(package)
    source = package / "corten/spec/runtime.py"
    with source.open("a") as file:
        file.write('\nVERSION = "other"\n')
    assert said(package) == ["False", "other"]
    assert said(package) == ["True", "other"]


def test_a_touched_source_counts(package: Path) -> None:
    said(package)
    os.utime(package / "corten/errors.py")
    assert [said(package)[0], said(package)[0]] == ["False", "True"]


def test_a_module_that_no_command_has_loaded_yet_counts(package: Path) -> None:
    """A changed source is left alone until somebody imports it, and is taken then."""
    said(package)
    (package / "corten/oci/cli_info.py").write_text("def features(_settings, _argv): return 7\n")
    assert said(package)[0] == "True"
    argv = [str(package / "corten-oci"), "features"]
    assert [subprocess.run(argv, capture_output=True, check=False).returncode] * 2 == [7, 7]
    file = next((package / "corten/__pycache__").glob("*.bin"))
    made = file.stat().st_ino
    assert subprocess.run(argv, capture_output=True, check=False).returncode == 7
    assert file.stat().st_ino == made


def test_what_costs_a_start_is_not_imported(package: Path) -> None:
    """``errno`` has its numbers put in, ``_socket`` is for those that make sockets."""
    said(package)
    file = next((package / "corten/__pycache__").glob("*.bin"))
    raw = file.read_bytes()
    _, (_, head, places) = marshal.loads(raw[: onefile.HEAD])
    names: dict[str, set[str]] = {"head": {item[0] for item in head}}
    for part in ("main", "thin", "init"):
        offset, length = places[part]
        found = marshal.loads(raw[offset : offset + length])
        names[part] = {item[0] for item in (found[1] if part == "init" else found)}
    assert "_ctypes" in names["head"] & names["init"]
    assert not set().union(*names.values()) & {"errno", "_socket", "select", "json", "re"}
    assert "corten.spec.runtime" not in names["init"]
    assert not names["thin"] & {"corten.oci.plan", "corten.oci.mounts", "corten.spec.runtime"}


def test_a_torn_file_is_replaced(package: Path) -> None:
    said(package)
    file = next((package / "corten/__pycache__").glob("*.bin"))
    for size in (0, 1000):
        file.write_bytes(file.read_bytes()[:size])
        assert [said(package)[0], said(package)[0]] == ["False", "True"]


def test_without_a_place_for_it_all_is_imported(package: Path) -> None:
    (package / "corten/__pycache__").rmdir()
    (package / "corten/__pycache__").write_text("in the way")
    assert [said(package)[0], said(package)[0]] == ["False", "False"]
