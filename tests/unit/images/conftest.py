"""A whole image service in a directory of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest

from corten.images.registrar import Journal
from corten.images.service import ImageService
from corten.images.settings import Settings
from corten.snapshots.overlay import OverlaySnapshotter
from corten.store import Database
from tests.support import eventually

QUICK = Settings(attempts=3, stall_seconds=1.0)


class Store:
    """The parts of a data root, opened."""

    def __init__(self, root: Path, settings: Settings, journal: Journal | None = None) -> None:
        self.root = root
        self.db = Database(str(root / "corten.db"))
        self.snapshots = OverlaySnapshotter(str(root / "snapshots/overlay"), self.db)
        self.images = ImageService(str(root), self.db, self.snapshots, settings, journal=journal)

    async def start(self) -> Store:
        await self.snapshots.recover()
        await self.images.start()
        return self

    async def close(self) -> None:
        await self.images.close()
        await self.snapshots.close()
        self.db.close()

    def blobs(self) -> set[str]:
        return {path.name for path in (self.root / "blobs/sha256").iterdir()}

    def layers(self) -> list[str]:
        """Directories of the snapshotter with something in them."""
        base = self.root / "snapshots/overlay"
        return sorted(p.name for p in base.iterdir() if p.name != "trash")

    def assert_empty(self) -> None:
        """Nothing half visible and nothing left."""
        assert self.blobs() == set()
        assert list((self.root / "ingest").iterdir()) == []
        self.assert_no_layers()

    def assert_no_layers(self) -> None:
        """Removal is in the background: gone at once from the records, soon from the disk."""
        eventually(lambda: self.layers() == [], what="layers removed")


class MakeStore(Protocol):
    async def __call__(
        self, settings: Settings = ..., journal: Journal | None = None, root: Path | None = None
    ) -> Store: ...


@pytest.fixture
async def make_store(tmp_path: Path) -> AsyncIterator[MakeStore]:
    async with AsyncExitStack() as stack:

        async def make(
            settings: Settings = QUICK,
            journal: Journal | None = None,
            root: Path | None = None,
        ) -> Store:
            store = await Store(root or tmp_path, settings, journal).start()
            stack.push_async_callback(store.close)
            return store

        yield make


@pytest.fixture
async def store(make_store: MakeStore) -> Store:
    return await make_store()
