"""The file with all code: used when it fits, never when a source has changed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness import SOURCE

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from corten.oci import onefile
fits = onefile.install()
from corten.spec import runtime
onefile.complete()
print(fits, type(runtime.__spec__.loader).__name__, runtime.VERSION)
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    shutil.copytree(
        SOURCE / "corten", tmp_path / "corten", ignore=shutil.ignore_patterns("__pycache__")
    )
    return tmp_path


def said(package: Path) -> list[str]:
    argv = ["/usr/bin/python3", "-IS", "-c", PROGRAM, str(package)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()


def test_the_second_command_reads_one_file(package: Path) -> None:
    assert said(package)[0] == "False"
    assert said(package)[:2] == ["True", "_Importer"]


def test_a_changed_source_counts(package: Path) -> None:
    said(package)
    source = package / "corten/spec/runtime.py"
    with source.open("a") as file:
        file.write('\nVERSION = "other"\n')
    assert said(package)[::2] == ["False", "other"]
    assert said(package) == ["True", "_Importer", "other"]


def test_a_torn_file_is_replaced(package: Path) -> None:
    said(package)
    file = next((package / "corten/__pycache__").glob("*.bin"))
    file.write_bytes(file.read_bytes()[:1000])
    assert said(package)[0] == "False"
    assert said(package)[0] == "True"
