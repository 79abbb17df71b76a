"""The unpack worker as a program: confined, told what has arrived, restartable."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from corten.errors import CortenError, DataLoss, Internal, InvalidArgument, ResourceExhausted
from corten.images.unpack.client import Limits, Unpacked, Worker
from tests.conftest import needs_root
from tests.support import eventually
from tests.unit.images.archives import archive, directory, file, symlink

CONTENT = os.urandom(400_000)
TAR = archive(directory("d"), file("d/a", CONTENT), file("d/.wh.b"), file("e/.wh..wh..opq"))
PACKED = {
    "tar": TAR,
    "gzip": gzip.compress(TAR),
    "gzip members": b"".join(gzip.compress(TAR[at : at + 9999]) for at in range(0, len(TAR), 9999)),
    "zstd": zstandard.compress(TAR),
    "zstd frames": zstandard.compress(TAR[:5000]) + zstandard.compress(TAR[5000:]),
    "zstd skippable": b"\x50\x2a\x4d\x18\4\0\0\0abcd" + zstandard.compress(TAR),
    "padding": gzip.compress(TAR) + b"\0" * 100,
}


def diff_id(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    place = tmp_path / "fs"
    place.mkdir()
    return place


@pytest.fixture
def blob(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "blob", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def worker(
    blob: int, target: Path, *, of: bytes = TAR, follow: bool = False, limits: Limits | None = None
) -> Worker:
    return Worker(
        blob,
        str(target),
        diff_id=diff_id(of),
        overlay=os.geteuid() == 0,
        limits=limits or Limits(size=1 << 40, ratio=2000),
        follow=follow,
    )


async def run(blob: int, target: Path, data: bytes, **options: object) -> Unpacked:
    os.pwrite(blob, data, 0)
    async with worker(blob, target, **options) as one:  # type: ignore[arg-type]  # as given
        return await one.result()


@pytest.mark.parametrize("packing", PACKED)
async def test_packings(blob: int, target: Path, packing: str) -> None:
    made = await run(blob, target, PACKED[packing])
    assert (target / "d/a").read_bytes() == CONTENT
    assert made.size == len(CONTENT)


@needs_root
async def test_it_is_confined_and_leaves_overlayfs_to_the_daemon(blob: int, target: Path) -> None:
    made = await run(blob, target, TAR)
    assert made.confined
    assert made.opaque == ("e",)
    assert set(made.implicit) == {"", "e"}
    assert (target / "d/b").is_char_device()
    assert (target / "d/b").lstat().st_rdev == 0


@needs_root
async def test_what_a_worker_may_still_do(blob: int, target: Path) -> None:
    """Before it unpacks a byte: no other files, no network, few capabilities."""
    os.pwrite(blob, PACKED["gzip"], 0)
    async with worker(blob, target, follow=True) as one:
        one.announce(100)
        assert one._process is not None
        proc = Path(f"/proc/{one._process.pid}")

        def status() -> dict[str, str]:
            lines = (proc / "status").read_text().splitlines()
            return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}

        eventually(lambda: status()["NoNewPrivs"] == "1", what="worker confined")
        kept = sum(1 << number for number in (0, 1, 3, 4, 27, 31))  # <linux/capability.h>
        for field in ("CapEff", "CapPrm", "CapBnd"):
            assert int(status()[field], 16) & ~kept == 0, field
        assert list((proc / "root").iterdir()) == list(target.iterdir())
        assert os.readlink(proc / "ns/net") != os.readlink("/proc/self/ns/net")
        mounts = (proc / "mountinfo").read_text().splitlines()
        assert len(mounts) == 1
        assert {"nosuid", "nodev", "noexec"} <= set(mounts[0].split()[5].split(","))
        files = {os.readlink(fd) for fd in (proc / "fd").iterdir()}
        assert {name for name in files if name.startswith("/")} <= {
            "/",
            str(target),
            str(target.parent / "blob"),
        }


async def test_it_follows_a_blob_that_grows(blob: int, target: Path) -> None:
    data = PACKED["gzip"]
    async with worker(blob, target, follow=True) as one:
        for at in range(0, len(data), 100_000):
            os.pwrite(blob, data[at : at + 100_000], at)
            one.announce(min(at + 100_000, len(data)))
        result = asyncio.ensure_future(one.result())
        await asyncio.wait([result], timeout=0.2)
        assert not result.done()  # that was all, but nobody has said so
        one.announce(len(data), final=True)
        assert (await result).size == len(CONTENT)


async def test_given_up_while_it_waits(blob: int, target: Path) -> None:
    async with worker(blob, target, follow=True) as one:
        one.announce(0)
        process = one._process
    assert process is not None
    assert process.returncode is not None


async def test_wrong_diff_id(blob: int, target: Path) -> None:
    with pytest.raises(DataLoss, match="not sha256:"):
        await run(blob, target, TAR, of=b"other")


@pytest.mark.parametrize("packing", ["gzip", "zstd", "tar"])
async def test_truncated(blob: int, target: Path, packing: str) -> None:
    with pytest.raises(DataLoss):
        await run(blob, target, PACKED[packing][:-3000])


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
async def test_damaged(blob: int, target: Path, packing: str) -> None:
    data = bytearray(PACKED[packing])
    data[len(data) // 2 : len(data) // 2 + 50] = bytes(50)
    with pytest.raises(DataLoss):
        await run(blob, target, bytes(data))


@pytest.mark.parametrize("data", [b"BZh91AY", b"\xfd7zXZ\0"])
async def test_unknown_packings(blob: int, target: Path, data: bytes) -> None:
    with pytest.raises(InvalidArgument, match="packed with"):
        await run(blob, target, data)


async def test_an_empty_blob_is_no_archive_of_that_digest(blob: int, target: Path) -> None:
    with pytest.raises(DataLoss):
        await run(blob, target, b"")


async def test_bomb(blob: int, target: Path) -> None:
    bomb = archive(file("zeros", bytes(150 << 20)))
    packed = zstandard.compress(bomb)
    with pytest.raises(InvalidArgument, match="more than 100 times"):
        await run(blob, target, packed, of=bomb, limits=Limits(size=1 << 40, ratio=100))


async def test_limit(blob: int, target: Path) -> None:
    with pytest.raises(ResourceExhausted):
        await run(blob, target, TAR, limits=Limits(size=1000, ratio=2000))


async def test_hostile_entries_are_told(blob: int, target: Path) -> None:
    data = archive(symlink("a", "/"), file("../x"))
    with pytest.raises(InvalidArgument, match=r"'\.\./x' leads out"):
        await run(blob, target, data, of=data)


async def test_killed_and_tried_again(blob: int, target: Path) -> None:
    os.pwrite(blob, TAR, 0)
    async with worker(blob, target, follow=True) as one:
        one.announce(100_000)
        assert one._process is not None
        one._process.kill()
        with pytest.raises(Internal, match="-9"):
            await one.result()
    again = target.parent / "again"
    again.mkdir()
    assert (await run(blob, again, TAR)).size == len(CONTENT)


async def test_errors_carry_what_the_user_needs(blob: int, target: Path) -> None:
    with pytest.raises(CortenError) as caught:
        await run(blob, target, TAR, of=b"other")
    assert caught.value.step == "verify layer"
    assert "pull it again" in caught.value.hint
