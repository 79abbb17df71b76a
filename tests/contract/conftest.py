"""The suite's implementations and their root file system."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract import images
from tests.contract.driver import Container, Host

_numbers = itertools.count(1)
RUNTIMES: dict[str, dict[str, Any]] = {
    "native": {"kind": "native"},
    "runc": {"kind": "binary", "path": shutil.which("runc") or ""},
    # This suite's host gives runsc neither a network of its own nor its idea of cgroups.
    "runsc": {
        "kind": "binary",
        "path": shutil.which("runsc") or "",
        "args": ["--network=none", "--ignore-cgroups"],
    },
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(scope="session")
def layer() -> Iterator[Path]:
    """A read-only root file system of busybox."""
    if not images.BUSYBOX.exists():
        pytest.skip("needs Debian's busybox-static")
    base = Path(tempfile.mkdtemp(prefix="corten-layer-", dir="/tmp"))
    images.build(base / "layer")
    yield base / "layer"
    shutil.rmtree(base)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A launcher that the module's tests share."""
    host = Host()
    yield host
    host.close()


@pytest.fixture
def own_host() -> Iterator[Host]:
    """A launcher of one test's own, which it may kill."""
    host = Host()
    yield host
    host.close()


@pytest.fixture(params=list(RUNTIMES))
def runtime(request: pytest.FixtureRequest) -> str:
    """The implementation's name; a test runs against each."""
    name: str = request.param
    choice = RUNTIMES[name]
    if choice["kind"] == "binary" and not choice["path"]:
        pytest.skip(f"{name} is not installed")
    return name


Make = Callable[..., Container]


@pytest.fixture
def make(host: Host, layer: Path, runtime: str) -> Make:
    """Makes a container of the implementation under test (not created yet)."""
    return maker(host, layer, RUNTIMES[runtime])


@pytest.fixture
def native(host: Host, layer: Path) -> Make:
    """Makes a container of the native implementation."""
    return maker(host, layer, RUNTIMES["native"])


def maker(host: Host, layer: Path, choice: dict[str, Any]) -> Make:
    def make(args: list[str], **fields: Any) -> Container:
        name = f"c{next(_numbers):04}{os.urandom(4).hex()}"
        config = images.config(args, **fields.pop("process", {}))
        config["process"]["terminal"] = bool(fields.get("tty"))
        change = fields.pop("change", None)
        if change is not None:
            change(config)
        mounts = images.overlay(layer, host.base / "layers" / name)
        return Container(host, name, config, runtime=choice, rootfs_mounts=mounts, **fields)

    return make
