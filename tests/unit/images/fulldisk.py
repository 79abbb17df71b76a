"""Run in a mount namespace of its own by ``test_full_disk``: a store on a disk of 24 MB."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from corten.errors import ResourceExhausted
from corten.images.settings import Settings
from corten.testing.registry import FakeRegistry
from tests.unit.images.archives import archive, file
from tests.unit.images.conftest import Store

_MIB = 1 << 20


def stray(root: Path) -> list[str]:
    places = [root / "ingest", root / "snapshots/overlay/trash"]
    found = [str(path) for place in places for path in place.iterdir()]
    return found + [str(p) for p in (root / "snapshots/overlay").glob("new-*")]


async def fails(store: Store, name: str) -> None:
    try:
        await store.images.pull("docker", name)
    except ResourceExhausted as error:
        assert error.hint, error
    else:
        raise AssertionError(f"{name} fitted")
    for _ in range(500):
        if not stray(store.root):
            break
        await asyncio.sleep(0.01)
    assert stray(store.root) == []
    assert all(name not in image.tags for image in store.images.list("docker"))


async def main(root: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs"]
    (root / "disk").mkdir()
    subprocess.run([*mount, str(root / "disk")], check=True)
    root = root / "disk"
    settings = Settings(attempts=2, stall_seconds=5.0)
    store = await Store(root, settings).start()
    async with FakeRegistry() as registry:
        noise = os.urandom(9 * _MIB)
        registry.add("t/small:v1", [archive(file("a"))])
        registry.add("t/blob:v1", [archive(file("a", noise * 3))])
        registry.add("t/layer:v1", [archive(file("a", noise), file("b", noise))])
        small = f"{registry.address}/t/small:v1"
        await store.images.pull("docker", small)
        await fails(store, f"{registry.address}/t/blob:v1")
        await fails(store, f"{registry.address}/t/layer:v1")
        assert [image.tags for image in store.images.list("docker")] == [(small,)]
        subprocess.run(["mount", "-o", "remount,size=100m", str(root)], check=True)
        await store.images.pull("docker", f"{registry.address}/t/layer:v1")
        await store.images.pull("docker", f"{registry.address}/t/blob:v1")
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
