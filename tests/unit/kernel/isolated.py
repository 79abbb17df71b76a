"""Run a snippet in a bare interpreter of its own: one thread, as what forks containers is."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3] / "src"


def run(snippet: str, *, prefix: tuple[str, ...] = (), code: int = 0) -> str:
    """What the snippet prints; its standard error is shown where it ends otherwise than ``code``.

    Arguments:
        prefix: a program that starts the interpreter, as ``unshare --net``.
    """
    program = f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n" + textwrap.dedent(snippet)
    done = subprocess.run(
        [*prefix, sys.executable, "-I", "-S", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout.strip()
