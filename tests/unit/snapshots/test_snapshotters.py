"""The promises of the Protocol, kept by each implementation."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import corten
from corten.errors import AlreadyExists, InvalidArgument, NotFound
from corten.snapshots.choose import choose, probe_overlay
from corten.snapshots.protocol import Usage
from corten.store import Database
from tests.conftest import needs_root
from tests.support import eventually
from tests.unit.snapshots.conftest import Bench


async def stack(bench: Bench) -> None:
    await bench.layer("c1", "", {"a": "1", "d/x": "1", "d/y": "1", "e/z": "1", "f": "1"})
    await bench.layer("c2", "c1", {"a": "2", "-f": "", "-d/x": "", "=e": "", "e/new": "2"})


async def test_layers_on_top_of_each_other(bench: Bench) -> None:
    await stack(bench)
    await bench.snapshotter.prepare("k", "c2")
    assert bench.seen("k") == {"a": "2", "d/y": "1", "e/new": "2"}
    await bench.snapshotter.prepare("k1", "c1")
    assert bench.seen("k1") == {"a": "1", "d/x": "1", "d/y": "1", "e/z": "1", "f": "1"}


async def test_a_directory_and_a_file_change_places(bench: Bench) -> None:
    await bench.layer("c1", "", {"a/x": "1", "b": "1"})
    await bench.layer("c2", "c1", {"a": "2", "b/x": "2"})
    await bench.snapshotter.prepare("k", "c2")
    assert bench.seen("k") == {"a": "2", "b/x": "2"}


async def test_prepare_is_idempotent_and_exclusive(bench: Bench) -> None:
    await stack(bench)
    first = await bench.snapshotter.prepare("k", "c2")
    assert await bench.snapshotter.prepare("k", "c2") == first
    assert bench.snapshotter.mounts("k") == first
    with pytest.raises(AlreadyExists):
        await bench.snapshotter.prepare("k", "c1")
    with pytest.raises(NotFound, match="no layer c9"):
        await bench.snapshotter.prepare("other", "c9")
    assert bench.snapshotter.keys() == ["k"]


async def test_states_do_not_see_each_other(bench: Bench) -> None:
    await stack(bench)
    await bench.snapshotter.prepare("k1", "c1")
    await bench.snapshotter.prepare("k2", "c1")
    Path(bench.snapshotter.upper("k1"), "mine").write_text("x")
    assert "mine" in bench.seen("k1")
    assert "mine" not in bench.seen("k2")


async def test_an_empty_root(bench: Bench) -> None:
    await bench.snapshotter.prepare("k", "")
    assert bench.seen("k") == {}
    assert os.stat(bench.snapshotter.upper("k")).st_mode & 0o7777 == 0o755


async def test_the_root_takes_after_the_image(bench: Bench) -> None:
    stage = await bench.snapshotter.stage_layer()
    os.chown(stage, 7, 8)
    os.chmod(stage, 0o1777)
    await bench.snapshotter.commit_layer(
        stage, chain_id="c", parent="", diff_id="d", usage=Usage(size=0, inodes=0)
    )
    await bench.snapshotter.prepare("k", "c")
    info = os.stat(bench.snapshotter.upper("k"))
    assert (info.st_uid, info.st_gid, info.st_mode & 0o7777) == (7, 8, 0o1777)


async def test_usage(bench: Bench) -> None:
    await bench.snapshotter.prepare("k", "")
    Path(bench.snapshotter.upper("k"), "f").write_bytes(os.urandom(50_000))
    usage = await bench.snapshotter.usage("k")
    assert usage.inodes == 1
    assert usage.size >= 50_000


async def test_remove_is_idempotent(bench: Bench) -> None:
    await bench.snapshotter.prepare("k", "")
    await bench.snapshotter.remove("k")
    await bench.snapshotter.remove("k")
    with pytest.raises(NotFound):
        bench.snapshotter.mounts("k")
    eventually(lambda: bench.directories() == [], what="files deleted")


async def test_the_same_layer_twice(bench: Bench) -> None:
    await asyncio.gather(*[bench.layer("c", "", {"a": "1"}) for _ in range(4)])
    eventually(lambda: len(bench.directories()) == 1, what="stages deleted")
    await bench.snapshotter.prepare("k", "c")
    assert bench.seen("k") == {"a": "1"}


async def test_a_layer_needs_the_one_below(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.layer("c2", "c1", {"a": "1"})
    assert not bench.snapshotter.has_layer("c2")


async def test_collect(bench: Bench) -> None:
    await stack(bench)
    await bench.layer("other", "c1", {"o": "1"})
    await bench.snapshotter.prepare("k", "other")
    assert await bench.snapshotter.collect(["c2"]) == []
    assert await bench.snapshotter.collect([]) == ["c2"]
    await bench.snapshotter.remove("k")
    assert await bench.snapshotter.collect([]) == ["other", "c1"]
    eventually(lambda: bench.directories() == [], what="files deleted")


async def test_found_again(bench: Bench) -> None:
    await stack(bench)
    mounts = await bench.snapshotter.prepare("k", "c2")
    again = await bench.reopen()
    assert again.mounts("k") == mounts
    assert [layer.chain_id for layer in again.stack("c2")] == ["c2", "c1"]
    assert await again.prepare("new", "c2") != mounts


async def test_leftovers_of_a_crash(bench: Bench) -> None:
    await stack(bench)
    await bench.snapshotter.prepare("k", "c2")
    await bench.snapshotter.stage_layer()
    base = bench.root / bench.kind
    (base / "99/fs").mkdir(parents=True)
    (base / "trash/old").mkdir()
    again = await bench.reopen()
    eventually(lambda: len(bench.directories()) == 3, what="leftovers deleted")
    assert again.keys() == ["k"]


async def test_a_writable_state_whose_files_are_gone_begins_anew(bench: Bench) -> None:
    """Its record was on the disk when the power failed, its directories were not yet."""
    await bench.snapshotter.prepare("k", "")
    os.rename(Path(bench.snapshotter.upper("k")).parent, bench.root / "elsewhere")
    again = await bench.reopen()
    assert again.keys() == ["k"]
    assert os.listdir(again.upper("k")) == []


async def test_a_writable_state_in_somebody_elses_transaction(bench: Bench) -> None:
    snapshots = bench.snapshotter
    staged = await snapshots.stage("k", "")
    assert snapshots.keys() == []
    await bench.db.write(lambda conn: snapshots.enter(conn, staged))
    assert snapshots.keys() == ["k"]
    with pytest.raises(AlreadyExists):
        await snapshots.stage("k", "")
    assert (await bench.reopen()).keys() == ["k"]
    await bench.db.write(lambda conn: bench.snapshotter.leave(conn, "k"))
    assert bench.snapshotter.keys() == []


async def test_a_writable_state_that_nobody_entered_is_swept(bench: Bench) -> None:
    staged = await bench.snapshotter.stage("k", "")
    again = await bench.reopen()
    assert again.keys() == []
    assert not (bench.root / bench.kind / str(staged.number)).exists()


async def test_after_a_power_loss_only_synced_layers_count(bench: Bench) -> None:
    await stack(bench)
    mounts = await bench.snapshotter.prepare("k", "c2")
    await bench.snapshotter.close()  # c1 and c2 are synced

    def unsync(conn: sqlite3.Connection) -> None:
        conn.execute("UPDATE layers SET boot_id = 'another' WHERE chain_id = 'c2'")

    await bench.db.write(unsync)
    again = await bench.reopen()
    assert again.has_layer("c1")
    assert not again.has_layer("c2")
    if again.stands_on_layers:
        with pytest.raises(NotFound, match="c2"):
            again.mounts("k")
    await bench.layer("c2", "c1", {"a": "2"})
    assert (again.mounts("k") != mounts) is again.stands_on_layers
    assert "a" in bench.seen("k")


async def test_committed_layers_become_durable(bench: Bench) -> None:
    await stack(bench)
    await bench.snapshotter.close()
    pending = bench.db.read(
        lambda c: c.execute("SELECT count(*) FROM layers WHERE boot_id != ''").fetchone()[0]
    )
    assert pending == 0


@needs_root
async def test_overlayfs_is_found_by_trying(tmp_path: Path) -> None:
    assert await probe_overlay(str(tmp_path)) == (True, "")
    assert list(tmp_path.iterdir()) == []
    # ramfs has no extended attributes, and an overlay is no place for another's upper directory.
    probe = f"{sys.executable} -c 'from corten.snapshots.probe import main; main()' {tmp_path}"
    script = f"mount -t ramfs ramfs {tmp_path} && exec {probe}"
    env = {"PYTHONPATH": str(Path(corten.__file__).parent.parent)}
    run = ["unshare", "-m", "sh", "-c", script]
    done = subprocess.run(run, check=False, capture_output=True, text=True, env=env | os.environ)
    assert done.returncode == 1, done
    assert "Operation not supported" in done.stdout


async def test_the_store_stays_with_what_it_was_begun_with(tmp_path: Path) -> None:
    db = Database(str(tmp_path / "corten.db"))
    try:
        native = await choose(str(tmp_path), db, wanted="native")
        await native.recover()
        await native.prepare("k", "")
        assert (await choose(str(tmp_path), db)).name == "native"
        with pytest.raises(InvalidArgument, match="no snapshotter 'zfs'"):
            await choose(str(tmp_path), db, wanted="zfs")
        await native.close()
    finally:
        db.close()


@pytest.mark.parametrize("steps", range(0, 12, 2))
async def test_cancelled_at_any_point_leaves_nothing(bench: Bench, steps: int) -> None:
    await bench.layer("c", "", {"a": "1"})
    tasks = [
        asyncio.create_task(bench.snapshotter.prepare("k", "c")),
        asyncio.create_task(bench.snapshotter.stage_layer()),
    ]
    for _ in range(steps):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    if tasks[0].cancelled():
        assert bench.snapshotter.keys() == []
    kept = 1 + sum(not task.cancelled() for task in tasks)
    eventually(lambda: len(bench.directories()) == kept, what="leftovers deleted")


async def test_a_commit_that_is_cancelled_is_whole_or_not_at_all(bench: Bench) -> None:
    for number in range(8):
        task = asyncio.create_task(bench.layer(f"c{number}", "", {"a": "1"}))
        await asyncio.sleep(0.001 * number)
        task.cancel()
        await asyncio.wait([task])
        if bench.snapshotter.has_layer(f"c{number}"):
            path = bench.snapshotter.layer(f"c{number}").path
            assert os.listdir(path) == ["a"]
