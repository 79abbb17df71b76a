"""``corten-oci`` as the runtime of real peers: dockerd, containerd and podman, each with roots
of its own, in a mount namespace of the suite's own."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.engines import Containerd, Dockerd, Podman
from tests.runtime import rootfs
from tests.runtime.harness import own_runtime

_CLONE_NEWNS = 0x20000
_MS_REC_SLAVE = 0x4000 | 0x80000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.peers)


@pytest.fixture(scope="session", autouse=True)
def private_mounts() -> None:
    """This thread and all programs that it starts get mounts of their own."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(_CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
    assert libc.mount(b"", b"/", None, _MS_REC_SLAVE, None) == 0


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the peers keep everything; short, for the sockets' sake."""
    return tmp_path_factory.mktemp("p")


@pytest.fixture(scope="session")
def program(place: Path) -> str:
    """``corten-oci`` of this tree."""
    return own_runtime(place)[0]


@pytest.fixture(scope="session")
def tree(place: Path) -> Path:
    """A root file system from this machine's programs."""
    root = place / "rootfs"
    rootfs.build(root)
    return root


def _needs(*programs: str) -> None:
    for name in programs:
        if shutil.which(name) is None:
            pytest.skip(f"there is no {name}")


@pytest.fixture(scope="module")
def podman(place: Path, program: str, tree: Path) -> Iterator[Podman]:
    _needs("podman", "conmon")
    engine = Podman(place / "podman", program, tree)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def dockerd(place: Path, program: str, tree: Path) -> Iterator[Dockerd]:
    _needs("dockerd", "docker")
    engine = Dockerd(place / "docker", program, tree)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def containerd(place: Path, program: str, tree: Path) -> Iterator[Containerd]:
    _needs("containerd", "ctr")
    engine = Containerd(place / "ctr", program, tree)
    yield engine
    engine.close()
