"""Black-box tests of an OCI runtime: ``$OCI_RUNTIME``, or ``corten-oci`` of this tree.

All run in a mount namespace of the suite's own and look afterwards for what was left.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.runtime import rootfs
from tests.runtime.harness import Bundle, Runtime, own_runtime
from tests.support import eventually

_CLONE_NEWNS = 0x20000
_MS_REC_SLAVE = 0x4000 | 0x80000


@pytest.fixture(scope="session", autouse=True)
def private_mounts() -> None:
    """This thread and all programs that it starts get mounts of their own."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(_CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
    assert libc.mount(b"", b"/", None, _MS_REC_SLAVE, None) == 0
    if "crun" in os.environ.get("OCI_RUNTIME", ""):
        # crun 1.8 takes an empty v2 tree for the one that counts
        subprocess.run(["umount", "/sys/fs/cgroup/unified"], check=False)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root file system that each test gets a copy of."""
    root = tmp_path_factory.mktemp("base") / "rootfs"
    rootfs.build(root)
    return root


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    other = os.environ.get("OCI_RUNTIME")
    yield Runtime([other] if other else own_runtime(tmp_path), tmp_path / "state")


@pytest.fixture
def new_bundle(runtime: Runtime, base: Path, tmp_path: Path) -> Iterator[Callable[[], Bundle]]:
    """Makes bundles; their containers are removed, and nothing of them may be left."""
    made: list[Bundle] = []

    def make() -> Bundle:
        bundle = Bundle(runtime, tmp_path / f"bundle{len(made)}", base)
        made.append(bundle)
        return bundle

    mounts = _mounts()
    yield make
    for bundle in made:
        bundle.delete()
        if runtime.own:  # crun 1.8 leaves some
            eventually(lambda b=bundle: not _cgroups(b.id), what=f"cgroups of {bundle.id}")  # type: ignore[misc]
        shutil.rmtree(bundle.path)
    assert _mounts() - mounts == set()


@pytest.fixture
def box(new_bundle: Callable[[], Bundle]) -> Bundle:
    """One bundle."""
    return new_bundle()


@pytest.fixture
def ours(runtime: Runtime) -> None:
    """For what older peers do not have or do otherwise."""
    if not runtime.own:
        pytest.skip("not a feature of this peer")


def _mounts() -> set[str]:
    return set(Path("/proc/thread-self/mountinfo").read_text().splitlines())


def _cgroups(name: str) -> list[Path]:
    top = Path("/sys/fs/cgroup")
    return [p for p in (*top.glob(f"corten-test/{name}"), *top.glob(f"*/corten-test/{name}"))]
