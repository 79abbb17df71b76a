"""Both snapshotters, and layers to put in them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from corten.snapshots.directories import DirectorySnapshotter
from corten.snapshots.native import NativeSnapshotter
from corten.snapshots.overlay import OverlaySnapshotter
from corten.snapshots.protocol import Usage
from corten.store import Database

KINDS = {"overlay": OverlaySnapshotter, "native": NativeSnapshotter}


class Bench:
    """A snapshotter in a directory of the test's own, which can be opened again."""

    def __init__(self, kind: str, root: Path) -> None:
        self.kind = kind
        self.root = root
        self.db = Database(str(root / "corten.db"))
        self.snapshotter: DirectorySnapshotter = KINDS[kind](str(root / kind), self.db)

    async def reopen(self) -> DirectorySnapshotter:
        """As the next daemon finds it."""
        await self.snapshotter.close()
        self.snapshotter = KINDS[self.kind](str(self.root / self.kind), self.db)
        await self.snapshotter.recover()
        return self.snapshotter

    async def layer(self, chain: str, parent: str, files: dict[str, str]) -> None:
        """Commit a layer; a name that begins with ``-`` is a whiteout, ``=`` makes the
        directory opaque."""
        stage = await self.snapshotter.stage_layer()
        for name, text in files.items():
            self._put(Path(stage), name, text)
        await self.snapshotter.commit_layer(
            stage,
            chain_id=chain,
            parent=parent,
            diff_id=f"d-{chain}",
            usage=Usage(size=1, inodes=1),
        )

    def _put(self, stage: Path, name: str, text: str) -> None:
        mark, path = (name[0], stage / name[1:]) if name[0] in "-=" else ("", stage / name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not mark:
            path.write_text(text)
        elif mark == "=":
            path.mkdir(exist_ok=True)
            if self.kind == "overlay":
                os.setxattr(path, "trusted.overlay.opaque", b"y")
            else:
                (path / ".wh..wh..opq").touch()
        elif self.kind == "overlay":
            os.mknod(path, 0o020000, 0)
        else:
            (path.parent / f".wh.{path.name}").touch()

    def seen(self, key: str) -> dict[str, str]:
        """All files that a container would see."""
        mount = self.snapshotter.mounts(key)[0]
        place = self.root / "mnt"
        place.mkdir(exist_ok=True)
        options = ",".join(mount.options)
        mounting = f"mount -t {mount.type} {mount.source} {place} -o {options}"
        if mount.type == "bind":
            mounting = f"mount --rbind {mount.source} {place}"
        script = f"{mounting} && cd {place} && find . -type f | sort | xargs -r -d '\\n' grep -H ''"
        run = ["unshare", "-m", "sh", "-c", script]
        lines = subprocess.run(run, check=False, capture_output=True, text=True).stdout
        pairs = [line.removeprefix("./").split(":", 1) for line in lines.splitlines()]
        return {name: text for name, text in pairs}

    def directories(self) -> list[str]:
        base = self.root / self.kind
        trash = list((base / "trash").iterdir())
        return sorted(p.name for p in base.iterdir() if p.name != "trash") + [p.name for p in trash]


@pytest.fixture(params=list(KINDS))
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    one = Bench(request.param, tmp_path)
    await one.snapshotter.recover()
    try:
        yield one
    finally:
        await one.snapshotter.close()
        one.db.close()
