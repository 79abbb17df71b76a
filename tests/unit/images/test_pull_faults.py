"""Pulls from a registry that misbehaves: what is retried, what is refused, what is left."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from corten.errors import (
    CortenError,
    DataLoss,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from corten.images.settings import Settings
from corten.images.types import Auth, Change, Progress
from corten.spec import descriptor
from corten.testing.registry import FakeRegistry, Fault
from tests.unit.images.archives import archive, directory, file
from tests.unit.images.conftest import MakeStore, Store

BIG = os.urandom(3_000_000)
LAYER = archive(directory("."), file("big", BIG))
SMALL = archive(file("small", b"x"))


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as one:
        one.add("t/a:v1", [LAYER, SMALL])
        yield one


def name(registry: FakeRegistry, rest: str = "t/a:v1") -> str:
    return f"{registry.address}/{rest}"


async def pull_fails(
    store: Store, registry: FakeRegistry, kind: type[CortenError], words: str, rest: str = "t/a:v1"
) -> CortenError:
    """The pull fails as it should and leaves nothing."""
    with pytest.raises(kind, match=words) as caught:
        await store.images.pull("docker", name(registry, rest))
    assert store.images.list("docker") == []
    await store.images.collect()
    if kind not in (Unavailable,):
        store.assert_empty()
    assert list((store.root / "ingest").iterdir()) == []
    store.assert_no_layers()
    return caught.value


async def test_pull(store: Store, registry: FakeRegistry) -> None:
    seen: list[Progress] = []
    image = await store.images.pull("docker", name(registry), progress=seen.append)
    assert image.tags == (name(registry),)
    assert image.size == len(BIG) + 1
    layer = store.snapshots.stack(image.chain_id)[1]
    assert Path(layer.path, "big").read_bytes() == BIG
    assert seen[0].status == f"Pulling from {registry.address}/t/a"
    assert [p.status for p in seen].count("Pull complete") == 2
    assert seen[-1].status == f"Status: Downloaded newer image for {name(registry)}"


async def test_again_asks_and_fetches_nothing(store: Store, registry: FakeRegistry) -> None:
    first = await store.images.pull("docker", name(registry))
    registry.requests.clear()
    seen: list[Progress] = []
    assert await store.images.pull("docker", name(registry), progress=seen.append) == first
    assert [method for method, *_ in registry.requests] == ["HEAD"]
    assert seen[-1].status.startswith("Status: Image is up to date")


async def test_the_same_pull_is_joined(store: Store, registry: FakeRegistry) -> None:
    pulls = [store.images.pull("docker", name(registry)) for _ in range(5)]
    assert len(set(map(repr, await asyncio.gather(*pulls)))) == 1
    blobs = [path for method, path, _ in registry.requests if "/blobs/" in path]
    assert len(blobs) == len(set(blobs)) == 3


async def test_two_images_share_a_layer_while_both_are_pulled(
    store: Store, registry: FakeRegistry
) -> None:
    registry.add("t/b:v1", [LAYER, archive(file("other"))])
    await asyncio.gather(*[store.images.pull("docker", name(registry, f"t/{r}:v1")) for r in "ab"])
    digest = hashlib.sha256(LAYER).hexdigest()
    assert len([p for _, p, _ in registry.requests if digest in p]) == 1


async def test_an_empty_layer_twice(store: Store, registry: FakeRegistry) -> None:
    empty = archive()
    registry.add("t/e:v1", [empty, SMALL, empty])
    image = await store.images.pull("docker", name(registry, "t/e:v1"))
    assert len(store.snapshots.stack(image.chain_id)) == 3


# transfers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(kind="cut", after=1_000_000)],
        [Fault(kind="cut", after=1_000_000), Fault(kind="cut", after=500_000)],
        [Fault(kind="stall", after=700_000)],
        [Fault(kind="cut", after=1_000_000), Fault(kind="ignore-range")],
        [Fault(kind="cut", after=1_000_000), Fault(kind="wrong-range")],
        [Fault(kind="status", status=503), Fault(kind="status", status=500)],
        [Fault(kind="status", status=429, headers=(("Retry-After", "0"),))],
        [Fault(kind="cut", after=0)],
    ],
    ids=["cut", "cut twice", "stall", "no range", "lies about range", "5xx", "429", "at once"],
)
async def test_transfers_go_on(store: Store, registry: FakeRegistry, faults: list[Fault]) -> None:
    path = f"/blobs/sha256:{hashlib.sha256(LAYER).hexdigest()}"
    for fault in faults:
        values = {field: getattr(fault, field) for field in fault._fields}
        registry.faults.append(Fault(**values | {"path": path}))
    image = await store.images.pull("docker", name(registry))
    assert registry.faults == []
    assert Path(store.snapshots.stack(image.chain_id)[1].path, "big").read_bytes() == BIG


async def test_it_goes_on_where_it_was_cut(store: Store, registry: FakeRegistry) -> None:
    digest = hashlib.sha256(LAYER).hexdigest()
    registry.faults = [Fault(kind="cut", path=digest, after=1_000_000)]
    await store.images.pull("docker", name(registry))
    ranges = [h.get("Range", "") for _, p, h in registry.requests if digest in p]
    assert ranges[0] == ""
    first, _, last = ranges[1].removeprefix("bytes=").partition("-")
    assert 0 < int(first) <= 1_000_000
    assert int(last) == len(LAYER) - 1


async def test_trickling_is_given_up(make_store: MakeStore, registry: FakeRegistry) -> None:
    settings = Settings(attempts=2, stall_seconds=0.2, least_bytes_per_second=10_000)
    store = await make_store(settings)
    registry.faults = [Fault(kind="trickle", times=99)]
    await pull_fails(store, registry, Unavailable, "in time")


async def test_a_registry_that_stays_broken(store: Store, registry: FakeRegistry) -> None:
    registry.faults = [Fault(kind="status", status=502, times=99)]
    error = await pull_fails(store, registry, Unavailable, "HTTP 502")
    assert error.hint


async def test_too_many_requests(store: Store, registry: FakeRegistry) -> None:
    headers = (("Retry-After", "3600"),)
    registry.faults = [Fault(kind="status", path="", status=429, times=99, headers=headers)]
    await pull_fails(store, registry, Unavailable, "too many requests")


async def test_a_retry_finds_what_was_fetched(store: Store, registry: FakeRegistry) -> None:
    small = hashlib.sha256(SMALL).hexdigest()
    registry.faults = [Fault(kind="status", path=small, status=500, times=3)]
    with pytest.raises(Unavailable):
        await store.images.pull("docker", name(registry))
    await store.images.collect()
    registry.requests.clear()
    await store.images.pull("docker", name(registry))
    assert not [p for _, p, _ in registry.requests if hashlib.sha256(LAYER).hexdigest() in p]


async def test_cancelled(store: Store, registry: FakeRegistry) -> None:
    registry.faults = [Fault(kind="stall", path="/blobs/", after=100, times=9)]
    pull = asyncio.create_task(store.images.pull("docker", name(registry)))
    while not any("/blobs/" in path for _, path, _ in registry.requests):
        await asyncio.sleep(0.01)
    pull.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pull
    assert list((store.root / "ingest").iterdir()) == []
    assert store.images.list("docker") == []


# contents that are wrong -----------------------------------------------------------------


async def test_wrong_bytes_in_a_layer(store: Store, registry: FakeRegistry) -> None:
    registry.faults = [Fault(kind="corrupt", path=hashlib.sha256(LAYER).hexdigest())]
    await pull_fails(store, registry, DataLoss, "what was received is")


async def test_wrong_bytes_in_a_packed_layer(store: Store, registry: FakeRegistry) -> None:
    packed = gzip.compress(LAYER)
    ids = ["sha256:" + hashlib.sha256(LAYER).hexdigest()]
    registry.add("t/z:v1", [packed], diff_ids=ids, layer_type=descriptor.OCI_LAYER_GZIP)
    registry.faults = [Fault(kind="corrupt", path=hashlib.sha256(packed).hexdigest())]
    await pull_fails(store, registry, DataLoss, "what was received is", "t/z:v1")


async def test_a_layer_of_another_size(store: Store, registry: FakeRegistry) -> None:
    made = registry.blob(SMALL, descriptor.OCI_LAYER)
    registry.replace(made, SMALL[:-512])
    await pull_fails(store, registry, DataLoss, "the manifest says")


async def test_wrong_diff_id(store: Store, registry: FakeRegistry) -> None:
    registry.add("t/d:v1", [SMALL], diff_ids=["sha256:" + "1" * 64])
    await pull_fails(store, registry, DataLoss, "not sha256:1111", "t/d:v1")


async def test_a_layer_that_is_cut_off(store: Store, registry: FakeRegistry) -> None:
    registry.add("t/d:v1", [LAYER[:100_000]])
    await pull_fails(store, registry, DataLoss, "cut off", "t/d:v1")


async def test_a_hostile_layer(store: Store, registry: FakeRegistry) -> None:
    registry.add("t/h:v1", [SMALL, archive(file("../../evil"))])
    error = await pull_fails(store, registry, InvalidArgument, "leads out", "t/h:v1")
    assert error.step == "unpack layer"
    assert not list(store.root.rglob("evil"))


async def test_a_manifest_of_another_digest(store: Store, registry: FakeRegistry) -> None:
    wrong = registry.add("t/a:v1", [SMALL])
    registry.replace(wrong, b'{"schemaVersion":2}')
    await pull_fails(store, registry, DataLoss, "not sha256:")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "manifest is"),
        ({"schemaVersion": 2, "layers": []}, "config is missing"),
        ({"schemaVersion": 2, "manifests": [{"digest": "x"}]}, r"manifests\[0\]\.digest"),
    ],
)
async def test_malformed_manifests(
    store: Store, registry: FakeRegistry, document: object, words: str
) -> None:
    is_index = isinstance(document, dict) and "manifests" in document
    kind = descriptor.OCI_INDEX if is_index else descriptor.OCI_MANIFEST
    registry.tag("t/m:v1", registry.document(document, kind))
    await pull_fails(store, registry, InvalidArgument, words, "t/m:v1")


async def test_a_malformed_config(store: Store, registry: FakeRegistry) -> None:
    registry.add("t/c:v1", [SMALL], config={"config": {"Env": 5}})
    await pull_fails(store, registry, InvalidArgument, r"config\.config\.Env", "t/c:v1")


async def test_an_artifact(store: Store, registry: FakeRegistry) -> None:
    chart = registry.blob(b"{}", "application/vnd.cncf.helm.config.v1+json")
    document = {"schemaVersion": 2, "config": chart.to_document(), "layers": []}
    registry.tag("t/h:v1", registry.document(document, descriptor.OCI_MANIFEST))
    await pull_fails(store, registry, Unimplemented, "helm", "t/h:v1")


async def test_schema_1(store: Store, registry: FakeRegistry) -> None:
    old = registry.document({"schemaVersion": 1}, descriptor.DOCKER_SCHEMA1_SIGNED)
    registry.tag("t/o:v1", old)
    await pull_fails(store, registry, Unimplemented, "schema 1", "t/o:v1")


async def test_no_such_platform(store: Store, registry: FakeRegistry) -> None:
    one = registry.add("t/a:arm", [SMALL]).to_document()
    one["platform"] = {"os": "linux", "architecture": "s390x"}
    index = {"schemaVersion": 2, "mediaType": descriptor.OCI_INDEX, "manifests": [one]}
    registry.tag("t/i:v1", registry.document(index, descriptor.OCI_INDEX))
    error = await pull_fails(store, registry, NotFound, "no matching manifest", "t/i:v1")
    assert error.hint == "there is: linux/s390x"
    with pytest.raises(NotFound, match="it is for linux/amd64, not for linux/s390x"):
        await store.images.pull("docker", name(registry), platform="linux/s390x")


# who may ---------------------------------------------------------------------------------


async def test_dead_registry(store: Store) -> None:
    with pytest.raises(Unavailable, match="Connection refused") as caught:
        await store.images.pull("docker", "127.0.0.1:1/x")
    assert caught.value.hint


async def test_no_such_tag(store: Store, registry: FakeRegistry) -> None:
    error = await pull_fails(store, registry, NotFound, "manifest unknown", "t/a:nope")
    assert error.hint == "check the tag"


async def test_basic_authentication(store: Store) -> None:
    async with FakeRegistry(auth="basic", user="u", password="geheim") as registry:
        registry.add("t/a:v1", [SMALL])
        error = await pull_fails(store, registry, Unauthenticated, "wants credentials")
        assert "docker login" in error.hint
        with pytest.raises(Unauthenticated, match="refuses the credentials") as caught:
            await store.images.pull("docker", name(registry), auth=Auth(username="u", password="x"))
        assert "geheim" not in str(caught.value)
        auth = Auth(username="u", password="geheim")
        assert await store.images.pull("docker", name(registry), auth=auth)


async def test_token_for_anybody(store: Store) -> None:
    async with FakeRegistry(auth="token") as registry:
        registry.add("t/a:v1", [LAYER, SMALL])
        await store.images.pull("docker", name(registry))
        assert registry.tokens_given == 1


async def test_token_for_a_user(store: Store) -> None:
    async with FakeRegistry(auth="token", user="u", password="p") as registry:
        registry.add("t/a:v1", [SMALL])
        with pytest.raises(CortenError):
            await store.images.pull("docker", name(registry))
        with pytest.raises(Unauthenticated, match="incorrect username or password"):
            await store.images.pull("docker", name(registry), auth=Auth(username="u", password="x"))
        auth = Auth(username="u", password="p")
        assert await store.images.pull("docker", name(registry), auth=auth)
        asked = [path for _, path, _ in registry.requests if path == "/token"]
        assert asked


async def test_a_token_that_expires_in_the_middle(store: Store, registry: FakeRegistry) -> None:
    async with FakeRegistry(auth="token") as other:
        other.add("t/a:v1", [LAYER])
        other.faults = [Fault(kind="cut", path=hashlib.sha256(LAYER).hexdigest(), after=1000)]
        pull = asyncio.create_task(store.images.pull("docker", name(other)))
        while not any("/blobs/" in path for _, path, _ in other.requests):
            await asyncio.sleep(0.01)
        other.valid_token = "another"
        await pull
        assert other.tokens_given == 2


async def test_forbidden(store: Store, registry: FakeRegistry) -> None:
    registry.faults = [Fault(kind="status", path="", status=403, times=2)]
    with pytest.raises(NotFound, match="does not exist, or needs a login"):
        await store.images.pull("docker", name(registry))
    with pytest.raises(PermissionDenied, match="denied"):
        await store.images.pull("docker", name(registry), auth=Auth(username="u", password="p"))


async def test_storage_elsewhere_sees_no_credentials(store: Store, registry: FakeRegistry) -> None:
    async with FakeRegistry(auth="basic", user="u", password="p") as front:
        front.add("t/a:v1", [LAYER, SMALL])
        front.redirect_blobs_to = f"http://{registry.address}"
        for data in (front._blobs[key] for key in list(front._blobs)):
            registry.blob(data, "application/octet-stream")
        await store.images.pull("docker", name(front), auth=Auth(username="u", password="p"))
        assert registry.requests
        assert not any("Authorization" in headers for _, _, headers in registry.requests)


async def test_mirrors(make_store: MakeStore, registry: FakeRegistry) -> None:
    registry.add("library/redis:7", [SMALL])
    store = await make_store(Settings(mirrors=("http://127.0.0.1:1", f"http://{registry.address}")))
    auth = Auth(username="u", password="p")
    image = await store.images.pull("docker", "redis:7", auth=auth)
    assert image.tags == ("docker.io/library/redis:7",)
    assert not any("Authorization" in headers for _, _, headers in registry.requests)


# names -----------------------------------------------------------------------------------


async def test_names_and_digests(make_store: MakeStore, registry: FakeRegistry) -> None:
    told: list[Change] = []
    store = await make_store(journal=lambda _, change: told.append(change))
    old = await store.images.pull("docker", name(registry))
    registry.add("t/a:v1", [SMALL])
    new = await store.images.pull("docker", name(registry))
    assert new.id != old.id
    dangling = store.images.get("docker", old.id)
    assert dangling.tags == ()
    assert len(dangling.digests) == 1
    assert [change.action for change in told] == ["pull", "pull"]
    by_digest = await store.images.pull("docker", old.digests[0])
    assert by_digest.id == old.id


async def test_index_is_what_the_digest_shows(store: Store, registry: FakeRegistry) -> None:
    manifest = registry.add("t/x:amd", [SMALL])
    arm = registry.add("t/x:arm", [LAYER]).to_document()
    amd = manifest.to_document()
    amd["platform"] = {"os": "linux", "architecture": "amd64"}
    arm["platform"] = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    proof = registry.document({"schemaVersion": 2}, descriptor.OCI_MANIFEST).to_document()
    proof["platform"] = {"os": "unknown", "architecture": "unknown"}
    proof["annotations"] = {"vnd.docker.reference.type": "attestation-manifest"}
    index = {"schemaVersion": 2, "mediaType": descriptor.OCI_INDEX, "manifests": [proof, arm, amd]}
    top = registry.document(index, descriptor.OCI_INDEX)
    registry.tag("t/x:v1", top)
    image = await store.images.pull("docker", name(registry, "t/x:v1"), platform="linux/amd64")
    assert image.digests == (f"{registry.address}/t/x@{top.digest}",)
    assert image.manifest == str(manifest.digest)
    assert store.blobs() >= {top.digest.hex, manifest.digest.hex}


async def test_a_document_that_lies_about_its_size(store: Store, registry: FakeRegistry) -> None:
    manifest = registry.add("t/a:v1", [SMALL])
    entry = manifest.to_document() | {"size": 5}
    entry["platform"] = {"os": "linux", "architecture": "amd64"}
    index = json.loads(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    registry.tag("t/i:v1", registry.document(index, descriptor.OCI_INDEX))
    await pull_fails(store, registry, InvalidArgument, "has 5 bytes", "t/i:v1")
