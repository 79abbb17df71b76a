#!/usr/bin/env python3
"""Generate src/corten/cri/pb from src/corten/cri/cri.proto.

Run by the Makefile, the installer and the tests; does nothing where the files are newer
than their source. Needs grpcio-tools; where the interpreter has none and ``--ensure`` is
given, pip installs the locked build requirements into a temporary directory first.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PROTO = REPOSITORY / "src/corten/cri/cri.proto"
TARGET = REPOSITORY / "src/corten/cri/pb"
OUTPUTS = ("cri_pb2.py", "cri_pb2.pyi")
# protoc maps the source's directory to this name, so that the modules import each other by it.
PACKAGE = "corten/cri/pb"


def is_fresh() -> bool:
    """Whether everything was generated from the source as it is."""
    sources = (PROTO, Path(__file__))
    newest = max(path.stat().st_mtime for path in sources)
    return all((TARGET / n).exists() and (TARGET / n).stat().st_mtime >= newest for n in OUTPUTS)


def generate(path: str = "") -> None:
    """Run protoc into a temporary directory, then rename: others may generate too.

    Arguments:
        path: a directory with grpcio-tools; empty: this interpreter's own.
    """
    env = {**os.environ, **({"PYTHONPATH": path} if path else {})}
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TARGET, prefix=".gen-") as scratch:
        command = [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{PACKAGE}={PROTO.parent}",
            f"--python_out={scratch}",
            f"--pyi_out={scratch}",
            f"{PACKAGE}/{PROTO.name}",
        ]
        subprocess.run(command, check=True, env=env)
        for name in OUTPUTS:
            (Path(scratch) / PACKAGE / name).replace(TARGET / name)


def generate_with_pip() -> None:
    """The same with grpcio-tools from the locked build requirements."""
    lock = REPOSITORY / "requirements/build.txt"
    with tempfile.TemporaryDirectory(prefix="corten-build-") as scratch:
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        pip += ["--require-hashes", "--no-deps", "--target", scratch, "-r", str(lock)]
        subprocess.run(pip, check=True)
        generate(scratch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ensure", action="store_true", help="install grpcio-tools if missing")
    parser.add_argument("--force", action="store_true", help="generate even if nothing changed")
    options = parser.parse_args()
    if is_fresh() and not options.force:
        return
    if importlib.util.find_spec("grpc_tools") is not None:
        generate()
    elif options.ensure:
        generate_with_pip()
    else:
        sys.exit("gen_proto.py: grpcio-tools is not installed (--ensure installs it)")


if __name__ == "__main__":
    main()
