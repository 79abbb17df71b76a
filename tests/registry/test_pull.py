"""Pulls from a real registry, of what real tools pushed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from corten.errors import NotFound, Unauthenticated, Unavailable
from corten.images.types import Auth, ImageRecord
from tests.registry.conftest import make_layers
from tests.registry.realregistry import PASSWORD, USER, Layout, RealRegistry
from tests.registry.tokenserver import TokenServer, make_certificate
from tests.unit.images.archives import archive, file
from tests.unit.images.conftest import Store

GZIP, ZSTD = ["--dest-compress-format=gzip"], ["--dest-compress-format=zstd"]


def check(store: Store, image: ImageRecord) -> None:
    """The layers are what was pushed."""
    top, base = store.snapshots.stack(image.chain_id)
    assert Path(base.path, "bin/sh").read_bytes().startswith(b"#!xxx")
    assert Path(base.path, "gone").is_file()
    assert Path(top.path, "gone").is_char_device()
    assert os.readlink(Path(top.path, "link")) == "bin/sh"
    assert image.config["config"] == {"Cmd": ["sh"], "Env": ["A=b"]}
    assert len(image.layers) == 2


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("oci/gzip:v1", ["--format=oci", *GZIP], "application/vnd.oci.image.layer.v1.tar+gzip"),
        ("oci/zstd:v1", ["--format=oci", *ZSTD], "application/vnd.oci.image.layer.v1.tar+zstd"),
        (
            "docker/gzip:v1",
            ["--format=v2s2", *GZIP],
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        ),
    ],
)
async def test_formats(
    store: Store, registry: RealRegistry, tmp_path: Path, name: str, options: list[str], kind: str
) -> None:
    made = Layout(tmp_path / "layout")
    full = registry.push(made.name(made.image(make_layers())), name, *options)
    image = await store.images.pull("docker", full)
    check(store, image)
    if kind.startswith("application/vnd.oci"):
        assert {layer["mediaType"] for layer in registry.manifest(name)["layers"]} == {kind}


async def test_the_same_layers_in_another_packing(
    store: Store, registry: RealRegistry, tmp_path: Path
) -> None:
    layers = make_layers()
    plain, packed = Layout(tmp_path / "plain"), Layout(tmp_path / "packed")
    keep = "--preserve-digests"
    first = registry.push(plain.name(plain.image(layers)), "same/plain:v1", keep)
    second = registry.push(packed.name(packed.image(layers, zstd=True)), "same/zstd:v1", keep)
    one = await store.images.pull("docker", first)
    two = await store.images.pull("docker", second)
    assert one.id == two.id
    assert one.manifest != two.manifest
    assert len(two.tags) == len(two.digests) == 2
    assert len([d for d in store.layers() if d.isdigit()]) == 2


async def test_an_index(store: Store, registry: RealRegistry, tmp_path: Path) -> None:
    made = Layout(tmp_path / "layout")
    parts = {
        "arm64": [archive(file("arm"))],
        "amd64": list(make_layers()),
        "s390x": [archive(file("s"))],
    }
    manifests = {arch: made.image(layers, architecture=arch) for arch, layers in parts.items()}
    index = made.index(manifests)
    full = registry.push(made.name(index), "multi:v1", "--all", "--dest-compress=false")
    ours = await store.images.pull("docker", full, platform="linux/amd64")
    check(store, ours)
    theirs = await store.images.pull("k8s", full, platform="linux/arm64/v8")
    assert theirs.architecture == "arm64"
    repository = full.rpartition(":")[0]
    assert [d.partition("@")[0] for d in ours.digests] == [repository]
    assert ours.digests == theirs.digests
    assert ours.manifest != theirs.manifest
    with pytest.raises(NotFound, match="no matching manifest for linux/riscv64") as caught:
        await store.images.pull("docker", full, platform="linux/riscv64")
    assert "linux/s390x" in caught.value.hint


async def test_by_digest(store: Store, registry: RealRegistry, layout: Path) -> None:
    full = registry.push(layout, "digest:v1")
    image = await store.images.pull("docker", full)
    await store.images.remove("docker", image.id)
    store.assert_empty()
    again = await store.images.pull("docker", image.digests[0])
    assert again.id == image.id
    assert again.tags == ()
    missing = f"{registry.address}/digest@sha256:{'0' * 64}"
    with pytest.raises(NotFound):
        await store.images.pull("docker", missing)


async def test_unknown(store: Store, registry: RealRegistry, layout: Path) -> None:
    full = registry.push(layout, "known:v1")
    with pytest.raises(NotFound, match="manifest unknown"):
        await store.images.pull("docker", full.replace("v1", "nope"))
    with pytest.raises(NotFound):
        await store.images.pull("docker", f"{registry.address}/unknown/repository")
    store.assert_empty()


async def test_basic_authentication(store: Store, layout: Path, tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    registry = RealRegistry(tmp_path / "registry", auth="basic")
    try:
        full = registry.push(layout, "private:v1", credentials=True)
        with pytest.raises(Unauthenticated, match="wants credentials"):
            await store.images.pull("docker", full)
        with pytest.raises(Unauthenticated, match="refuses"):
            await store.images.pull("docker", full, auth=Auth(username=USER, password="wrong"))
        store.assert_empty()
        right = Auth(username=USER, password=PASSWORD)
        check(store, await store.images.pull("docker", full, auth=right))
    finally:
        registry.stop()


async def test_token_authentication(store: Store, layout: Path, tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    async with TokenServer(tmp_path) as server:
        registry = await asyncio.to_thread(
            RealRegistry, tmp_path / "registry", auth=server.registry_config()
        )
        try:

            def push(name: str) -> str:
                return registry.push(layout, name, credentials=True)

            public = await asyncio.to_thread(push, "open/it:v1")
            private = await asyncio.to_thread(push, "closed/it:v1")
            server.asked.clear()
            check(store, await store.images.pull("docker", public))
            assert server.asked == ["repository:open/it:pull"]
            with pytest.raises(Unauthenticated):
                await store.images.pull("docker", private)
            with pytest.raises(Unauthenticated, match="incorrect username or password"):
                await store.images.pull("docker", private, auth=Auth(username=USER, password="x"))
            right = Auth(username=USER, password=PASSWORD)
            check(store, await store.images.pull("k8s", private, auth=right))
        finally:
            registry.stop()


async def test_tls_with_a_certificate_nobody_vouches_for(
    store: Store, layout: Path, tmp_path: Path
) -> None:
    """Loopback registries may have one, others may not."""
    (tmp_path / "registry").mkdir()
    registry = RealRegistry(tmp_path / "registry", tls=make_certificate(tmp_path))
    try:
        full = registry.push(layout, "tls:v1")
        check(store, await store.images.pull("docker", full))
        named = full.replace("127.0.0.1", "localhost.localdomain")
        with pytest.raises(Unavailable) as caught:
            await store.images.pull("docker", named)
        assert "certificate" in str(caught.value) or "resolved" in str(caught.value)
    finally:
        registry.stop()


async def test_a_registry_that_stops(store: Store, layout: Path, tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    registry = RealRegistry(tmp_path / "registry")
    full = registry.push(layout, "gone:v1")
    registry.stop()
    with pytest.raises(Unavailable, match="Connection refused"):
        await store.images.pull("docker", full)
    store.assert_empty()
