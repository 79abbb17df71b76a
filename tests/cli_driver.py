"""Runs ``corten`` as it is installed: a bare interpreter, the package's directory, nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect

SOURCE = Path(__file__).resolve().parent.parent / "src"
# The libraries lie beside the package where it is installed; here they are the environment's.
PATHS = [str(SOURCE), *[path for path in sys.path if path.endswith("site-packages")]]


def program(module: str, *, bare: bool = False) -> list[str]:
    """The command line of a program of ours; ``bare``: it finds no library."""
    paths = PATHS[:1] if bare else PATHS
    code = f"import sys; sys.path[:0] = {paths!r}; from {module} import main; main()"
    return ["/usr/bin/python3", "-IS", "-c", code]


class Corten:
    """The command for one daemon.

    Arguments:
        state: the daemon's state directory.
        bare: without click and rich, so that only a warm worker can run a command.
    """

    def __init__(self, state: Path, *, bare: bool = False) -> None:
        self.argv = program("corten.cli.thin", bare=bare)
        self.environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("DOCKER_", "CORTEN_"))},
            "CORTEN_STATE": str(state),
            "TERM": "xterm",
            **({"CORTEN_DEBUG": "1"} if bare else {}),
        }

    def __call__(self, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run to the end, output captured; standard input is empty unless ``input`` is given."""
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("text", True)
        environ = {**self.environ, **options.pop("env", {})}
        return subprocess.run(
            [*self.argv, *args], env=environ, timeout=60, check=False,
            capture_output=options.pop("capture_output", True), **options,
        )  # fmt: skip

    def popen(self, *args: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*self.argv, *args], env=self.environ, **options)

    def spawn(self, *args: str, **options: Any) -> Any:
        """On a terminal of its own (pexpect), 24 rows and 80 columns."""
        return pexpect.spawn(
            self.argv[0], [*self.argv[1:], *args], env=self.environ, timeout=20, echo=True,
            dimensions=(24, 80), **options,
        )  # fmt: skip
