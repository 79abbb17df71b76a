"""A program that pulls one image into a store; ``test_killed`` kills it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from corten.images.settings import Settings
from tests.unit.images.conftest import Store


async def main(root: Path, name: str) -> None:
    store = await Store(root, Settings(attempts=3, stall_seconds=5.0)).start()
    print("started", flush=True)
    await store.images.pull("docker", name)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
