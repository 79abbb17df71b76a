"""A real registry for all tests of the suite, and a store for each."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from corten.images.settings import Settings
from tests.registry.realregistry import PROGRAM, Layout, RealRegistry
from tests.unit.images.archives import archive, directory, file, symlink
from tests.unit.images.conftest import Store


def make_layers() -> tuple[bytes, bytes]:
    """Two layers that are like no others (skopeo knows what it has packed before)."""
    shell = b"#!" + b"x" * 300_000
    return (
        archive(directory("."), directory("bin"), file("bin/sh", shell), file("gone", _noise())),
        archive(file(".wh.gone"), symlink("link", "bin/sh"), file("new", _noise())),
    )


def _noise() -> bytes:
    return os.urandom(200_000)


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    for program in (PROGRAM, "skopeo", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory, tools: None) -> Iterator[RealRegistry]:
    one = RealRegistry(tmp_path_factory.mktemp("registry"))
    yield one
    one.stop()


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Layout(tmp_path_factory.mktemp("layout"))
    return made.name(made.image(make_layers()))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    one = await Store(tmp_path, Settings(attempts=3, stall_seconds=5.0)).start()
    yield one
    await one.close()
