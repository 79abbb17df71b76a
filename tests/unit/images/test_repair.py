"""What a power loss took of the layers is unpacked again from the blobs."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from corten.testing.registry import FakeRegistry
from tests.conftest import needs_root
from tests.unit.images.archives import archive, file
from tests.unit.images.conftest import MakeStore


@needs_root
async def test_layers_that_never_reached_the_disk(make_store: MakeStore) -> None:
    first = await make_store()
    async with FakeRegistry() as registry:
        registry.add("t/a:v1", [archive(file("a")), archive(file("b", b"text"))])
        image = await first.images.pull("docker", f"{registry.address}/t/a:v1")
    await first.snapshots.prepare("c", image.chain_id)
    top = first.snapshots.layer(image.chain_id)
    Path(top.path, "b").write_bytes(b"")  # as ext4 leaves what was not synced

    def other_boot(conn: sqlite3.Connection) -> None:
        conn.execute("UPDATE layers SET boot_id = 'before' WHERE chain_id = ?", (top.chain_id,))

    await first.snapshots.close()
    await first.db.write(other_boot)
    await first.close()
    second = await make_store()
    again = second.snapshots.layer(image.chain_id)
    assert again.path != top.path
    assert Path(again.path, "b").read_bytes() == b"text"
    assert again.path in second.snapshots.mounts("c")[0].options[0]
    assert second.images.list("docker") == [image]
