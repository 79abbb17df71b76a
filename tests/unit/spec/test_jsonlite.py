"""The JSON reader without ``json``: what a fresh interpreter says to documents that are none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import corten

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from corten.errors import InvalidArgument
from corten.spec import jsonlite
assert "json.decoder" not in sys.modules
for text in ("{", '{"a"', '{"a":1,}', '"x', "[1,", "", "{} x", "nul"):
    try:
        jsonlite.loads(text)
    except InvalidArgument:
        continue
    sys.exit(f"accepted: {text}")
"""


def test_malformed_documents_without_the_json_package() -> None:
    """The C scanner raises SystemError where ``json.decoder`` was never imported."""
    package = str(Path(corten.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-IS", "-c", PROGRAM, package], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
