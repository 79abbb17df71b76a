#!/usr/bin/env python3
"""Lock the dependencies: requirements/{runtime,test,build}.txt from pyproject.toml.

``build`` is the part of ``test`` that generating the gRPC stubs needs.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
REQUIREMENTS = REPOSITORY / "requirements"
BUILD = ("grpcio-tools", "grpcio", "protobuf", "setuptools", "typing-extensions")


def compile_lock(name: str, *extra: str) -> None:
    subprocess.run(
        [
            sys.executable, "-m", "piptools", "compile", "-q", "--strip-extras", "--allow-unsafe",
            "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links",
            "--no-emit-trusted-host", "--no-header", *extra,
            "-o", str(REQUIREMENTS / f"{name}.txt"), "pyproject.toml",
        ],
        cwd=REPOSITORY,
        check=True,
    )  # fmt: skip


def write_build() -> None:
    blocks = re.split(r"(?m)^(?=[a-z0-9])", (REQUIREMENTS / "test.txt").read_text())
    wanted = [b for b in blocks if b.split("==")[0] in BUILD]
    (REQUIREMENTS / "build.txt").write_text("".join(wanted))


if __name__ == "__main__":
    if "--build-only" not in sys.argv:
        compile_lock("runtime")
        compile_lock("test", "--extra", "test")
    write_build()
