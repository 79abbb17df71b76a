"""The public client against a daemon of coroutines, a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.client import Client
from tests.harness import accepts
from tests.support import eventually


@pytest.fixture
def socket_path() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="corten-client-", dir="/tmp") as directory:
        path = Path(directory, "corten.sock")
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.cli.fakedaemon", directory],
            env={**os.environ, "PYTHONPATH": "src:."},
        )
        try:
            eventually(lambda: accepts(path), what="the fake daemon")
            yield str(path)
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def client(socket_path: str) -> Iterator[Client]:
    with Client(socket_path) as made:
        yield made
