"""``kill -9`` in the middle of a pull: nothing half visible, nothing left, a retry works."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from corten.images.settings import Settings
from corten.testing.registry import FakeRegistry
from tests.conftest import needs_root
from tests.support import eventually
from tests.unit.images.archives import archive, directory, file
from tests.unit.images.conftest import Store

_BASE = Path(__file__).parents[3]
_KILLS = 6
_SPAN = 0.6  # seconds after its start within which the program is killed


def workers_of(root: Path) -> list[str]:
    """Processes whose arguments name the store."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(root) in words:
            found.append(words.decode("utf-8", "replace"))
    return found


async def killed_after(root: Path, name: str, seconds: float) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.unit.images.pulling",
        str(root),
        name,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": f"{_BASE}/src:{_BASE}"},
        cwd=_BASE,
    )
    assert child.stdout is not None
    await child.stdout.readline()
    try:
        await asyncio.wait_for(child.wait(), seconds)
    except TimeoutError:
        child.kill()
    await child.wait()


@needs_root
async def test_killed_at_any_time(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    files = [file(f"d/{n}", rng.randbytes(3000)) for n in range(1500)]
    layers = [archive(directory(f"top{n}"), *files[n * 300 : n * 300 + 300]) for n in range(5)]
    async with FakeRegistry() as registry:
        registry.add("t/a:v1", layers)
        name = f"{registry.address}/t/a:v1"
        root = tmp_path / "root"
        root.mkdir()
        for _ in range(_KILLS):
            await killed_after(root, name, rng.uniform(0, _SPAN))
            eventually(lambda: not workers_of(root), what="unpack workers die with the daemon")
        store = await Store(root, Settings(attempts=3)).start()
        try:
            assert list((root / "ingest").iterdir()) == []
            for image in store.images.list("docker"):
                assert store.snapshots.has_layer(image.chain_id)
            image = await store.images.pull("docker", name)
            seen = {
                path.name: path.read_bytes()
                for layer in store.snapshots.stack(image.chain_id)
                for path in Path(layer.path).glob("d/*")
            }
            assert seen == {info.name[2:]: data for info, data in files}
            await store.images.remove("docker", image.id)
            store.assert_empty()
        finally:
            await store.close()
