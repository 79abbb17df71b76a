"""``load``, ``save``, ``import`` and ``commit`` in a store, with archives that mean harm."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard

from corten.errors import CortenError, DataLoss, InvalidArgument, NotFound
from corten.images.making import Loaded
from corten.images.settings import Settings
from corten.images.types import ImageRecord
from corten.testing.registry import FakeRegistry
from tests.conftest import needs_root
from tests.unit.images.archives import archive, directory, file, symlink
from tests.unit.images.conftest import MakeStore, Store

pytestmark = needs_root
LAYER = archive(directory("d"), file("d/f", b"one"))
OTHER = archive(file("g", b"two" * 1000))


def config_of(layers: Sequence[bytes], **more: Any) -> bytes:
    return json.dumps(
        {
            "os": "linux",
            "architecture": "amd64",
            "config": {"Cmd": ["sh"]},
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in layers],
            },
            **more,
        }
    ).encode()


def saved(
    layers: Sequence[bytes] = (LAYER,), names: Sequence[str] = ("a:1",), **changes: Any
) -> bytes:
    """An archive as ``docker save`` wrote it for ten years."""
    config = changes.pop("config", config_of(layers))
    entry = {
        "Config": "c.json",
        "RepoTags": list(names),
        "Layers": [f"{number}/layer.tar" for number in range(len(layers))],
        **changes,
    }
    members = [file(f"{number}/layer.tar", layer) for number, layer in enumerate(layers)]
    listed = json.dumps([entry]).encode()
    return archive(*members, file("c.json", config), file("manifest.json", listed))


async def load(store: Store, data: bytes, tenant: str = "docker") -> Sequence[Loaded]:
    async with await store.images.load(tenant) as transfer:
        sock = transfer.take()
        await asyncio.to_thread(_send, sock, data)
        return await transfer.done()


def _send(sock: Any, data: bytes) -> None:
    with sock:
        try:
            sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return


async def save(store: Store, *names: str) -> bytes:
    async with await store.images.save("docker", names) as transfer:
        sock = transfer.take()

        def read() -> bytes:
            data = b""
            with sock:
                while more := sock.recv(1 << 20):
                    data += more
            return data

        data = await asyncio.to_thread(read)
        await transfer.done()
        return data


async def imported(store: Store, data: bytes, name: str = "flat:1") -> ImageRecord:
    document: dict[str, Any] = {"os": "linux", "architecture": "amd64", "config": {}}
    async with await store.images.imported("docker", document, name) as transfer:
        await asyncio.to_thread(_send, transfer.take(), data)
        return await transfer.done()


def top(store: Store, name: str) -> Path:
    return Path(store.snapshots.layer(store.images.get("docker", name).chain_id).path)


# what works ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
async def test_an_old_archive(store: Store, pack: Any) -> None:
    (one,) = await load(store, pack(saved([LAYER, OTHER], ["a:1", "h:5000/b:2"])))
    assert one.names == ("docker.io/library/a:1", "h:5000/b:2")
    assert one.id == f"sha256:{hashlib.sha256(config_of([LAYER, OTHER])).hexdigest()}"
    assert (top(store, "a:1") / "g").read_bytes() == b"two" * 1000
    assert list((store.root / "ingest").iterdir()) == []


async def test_layers_that_are_links(store: Store) -> None:
    """docker save has a layer that two images share once."""
    config = config_of([LAYER])
    listed = [
        {"Config": "c.json", "RepoTags": [name], "Layers": [layer]}
        for name, layer in (("a:1", "x/layer.tar"), ("b:1", "y/layer.tar"))
    ]
    data = archive(
        file("x/layer.tar", LAYER), symlink("y/layer.tar", "../x/layer.tar"),
        file("c.json", config), file("manifest.json", json.dumps(listed).encode()),
    )  # fmt: skip
    assert [one.names for one in await load(store, data)] == [
        ("docker.io/library/a:1",), ("docker.io/library/b:1",),
    ]  # fmt: skip


async def test_packed_layers(store: Store) -> None:
    packers: tuple[Any, ...] = (gzip.compress, zstandard.compress)
    for number, pack in enumerate(packers):
        listed = [{"Config": "c.json", "RepoTags": [f"p:{number}"], "Layers": ["l.tar"]}]
        packed = archive(
            file("l.tar", pack(LAYER)), file("c.json", config_of([LAYER])),
            file("manifest.json", json.dumps(listed).encode()),
        )  # fmt: skip
        await load(store, packed)
        assert (top(store, f"p:{number}") / "d/f").read_text() == "one"


async def test_save_and_load_again(store: Store) -> None:
    await load(store, saved([LAYER, OTHER], ["a:1", "a:2"]))
    await load(store, saved([LAYER], ["b:1"]))
    before = {image.id: image.tags for image in store.images.list("docker")}
    data = await save(store, "a", "b:1")
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        names = opened.getnames()
        listed = json.load(opened.extractfile("manifest.json"))  # type: ignore[arg-type]  # it is there
    assert len(names) == len(set(names))
    assert [entry["RepoTags"] for entry in listed] == [["a:1", "a:2"], ["b:1"]]
    for image in store.images.list("docker"):
        await store.images.remove("docker", image.id, force=True)
    store.assert_empty()
    await load(store, data)
    assert {image.id: image.tags for image in store.images.list("docker")} == before


async def test_import(store: Store) -> None:
    image = await imported(store, LAYER)
    assert image.tags == ("docker.io/library/flat:1",)
    assert (top(store, "flat:1") / "d/f").read_text() == "one"
    packed = await imported(store, gzip.compress(LAYER), "flat:2")
    assert packed.layers == image.layers


async def test_commit(store: Store) -> None:
    await load(store, saved([LAYER]))
    base = store.images.get("docker", "a:1")
    await store.snapshots.prepare("c", base.chain_id)
    upper = Path(store.snapshots.upper("c"))
    (upper / "new").write_text("new")
    (upper / "d").mkdir()
    os.mknod(upper / "d/f", 0o020000, 0)  # a whiteout
    changes = await store.images.trees.changes("c", base.chain_id)
    assert [(c.path, c.kind) for c in changes] == [("/d", 0), ("/d/f", 2), ("/new", 1)]
    document = json.loads(json.dumps(base.config))
    made = await store.images.commit("docker", base.id, "c", base.chain_id, document, "made:1")
    assert made.layers[:1] == base.layers and len(made.layers) == 2
    assert (top(store, "made:1") / "new").read_text() == "new"
    assert (top(store, "made:1") / "d/f").stat().st_rdev == 0
    await store.snapshots.remove("c")


# what does not -------------------------------------------------------------------------------

_ELSEWHERE = "/etc/shadow"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        archive(file("x")),
        archive(file("manifest.json", b"[")),
        archive(file("manifest.json", b"x" * (5 << 20))),
        archive(file("../manifest.json", b"[]")),
        saved(Layers=["nosuch"]),
        saved(Config="../../etc/passwd"),
        saved(Config="nosuch"),
        saved(config=b"{}"),
        saved(config=config_of([OTHER])),
        saved([LAYER], config=config_of([LAYER, OTHER])),
        saved([archive(file("../out"))]),
        saved([b"no archive" * 100]),
        saved(names=["UPPER:case"]),
        archive(
            symlink("c.json", _ELSEWHERE),
            file(
                "manifest.json",
                json.dumps([{"Config": "c.json", "RepoTags": [], "Layers": []}]).encode(),
            ),
        ),
        archive(symlink("l", "../../etc/shadow"), file("manifest.json", b"[]")),
        saved()[:2000],
        gzip.compress(saved())[:-10],
    ],
    ids=[
        "nothing", "no image", "no JSON", "huge document", "above", "layer missing",
        "config outside", "config missing", "config of no layers", "other diff id",
        "too few layers", "layer that leads out", "layer that is none", "bad name",
        "config is a link outside", "link above", "cut off", "packed and cut off",
    ],
)  # fmt: skip
async def test_archives_that_are_refused(store: Store, data: bytes) -> None:
    with pytest.raises((InvalidArgument, DataLoss, NotFound)):
        await load(store, data)
    assert store.images.list("docker") == []
    await store.images.collect()
    store.assert_empty()


async def test_too_large(make_store: MakeStore, tmp_path: Path) -> None:
    store = await make_store(Settings(max_unpacked=1000))
    with pytest.raises(CortenError, match="larger than allowed"):
        await load(store, saved([OTHER]))
    store.assert_empty()


async def test_a_bomb(make_store: MakeStore) -> None:
    store = await make_store(Settings(max_ratio=20))
    with pytest.raises(InvalidArgument, match="times its size"):
        await load(store, gzip.compress(saved([archive(file("z", bytes(200 << 20)))])))
    with pytest.raises(InvalidArgument, match="times its size"):
        await imported(store, gzip.compress(archive(file("z", bytes(200 << 20)))))
    store.assert_empty()


async def test_too_many_members(store: Store) -> None:
    data = archive(*[file(str(number), b"") for number in range(20_001)])
    with pytest.raises(InvalidArgument, match="more than 20000 members"):
        await load(store, data)


async def test_a_blob_with_other_contents(store: Store) -> None:
    """A layout whose blob is not what its name says."""
    config, layer = config_of([LAYER]), LAYER
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in
               (("config", config), ("layer", layer))}  # fmt: skip
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                       "digest": f"sha256:{digests['config']}", "size": len(config)},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar",
                        "digest": f"sha256:{digests['layer']}", "size": len(layer)}],
        }
    ).encode()  # fmt: skip
    top_digest = hashlib.sha256(manifest).hexdigest()
    index = json.dumps(
        {"schemaVersion": 2, "manifests": [
            {"mediaType": "application/vnd.oci.image.manifest.v1+json",
             "digest": f"sha256:{top_digest}", "size": len(manifest)}]}
    ).encode()  # fmt: skip
    for wrong, expected in ((b"", None), (b"x", InvalidArgument)):
        data = archive(
            file("oci-layout", b"{}"), file("index.json", index),
            file(f"blobs/sha256/{top_digest}", manifest),
            file(f"blobs/sha256/{digests['config']}", config),
            file(f"blobs/sha256/{digests['layer']}", layer + wrong),
        )  # fmt: skip
        if expected is None:
            (one,) = await load(store, data)
            assert one.names == ()
            await store.images.remove("docker", one.id)
        else:
            with pytest.raises(expected):
                await load(store, data)
    await store.images.collect()
    store.assert_empty()


async def test_a_damaged_blob_is_not_saved(store: Store) -> None:
    await load(store, saved([OTHER]))
    image = store.images.get("docker", "a:1")
    path = store.root / "blobs/sha256" / image.id.removeprefix("sha256:")
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b" ")
    with pytest.raises(DataLoss):
        await save(store, "a:1")


async def test_a_client_that_goes_away(store: Store) -> None:
    async with await store.images.load("docker") as transfer:
        sock = transfer.take()
        sock.sendall(saved([OTHER])[:3000])
        sock.close()
    async with await store.images.load("docker") as transfer:
        transfer.take().close()
        with pytest.raises(CortenError):
            await transfer.done()
    async with await store.images.imported("docker", {"config": {}}, "") as transfer_in:
        assert transfer_in.sock is not None
    assert store.images.list("docker") == []
    store.assert_empty()


async def test_loads_pulls_and_sweeps_at_once(store: Store) -> None:
    """Nothing that is being made is swept away, whatever is removed meanwhile."""
    layers = [archive(file(f"f{number}", os.urandom(50_000))) for number in range(6)]

    async def again(number: int) -> None:
        for turn in range(3):
            name = f"n{number}:{turn}"
            await load(store, saved([LAYER, layers[number], layers[turn]], [name]))
            assert (top(store, name) / f"f{turn}").exists()
            await store.images.remove("docker", name)
            await store.images.collect()

    async with FakeRegistry() as registry:
        registry.add("t/a:v1", [LAYER, layers[0]])

        async def pulls() -> None:
            for _ in range(4):
                image = await store.images.pull("docker", f"{registry.address}/t/a:v1")
                await store.images.remove("docker", image.id, force=True)

        await asyncio.gather(pulls(), *[again(number) for number in range(4)])
    await store.images.collect()
    store.assert_empty()
