"""Manifests, indexes, configs: read strictly, and errors name the field."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from corten.errors import CortenError, InvalidArgument, Unimplemented
from corten.spec import descriptor, digest, image

HEX = "ab" * 32


def described(kind: str = descriptor.OCI_LAYER_GZIP, **more: Any) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{HEX}", "size": 7, **more}


def manifest(**changes: Any) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": descriptor.OCI_MANIFEST,
        "config": described(descriptor.OCI_CONFIG),
        "layers": [described()],
    }
    return json.dumps(document | changes).encode()


def config(**changes: Any) -> bytes:
    document = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{HEX}"]},
    }
    return json.dumps(document | changes).encode()


def test_manifest() -> None:
    parsed = image.parse_manifest(manifest())
    assert isinstance(parsed, image.Manifest)
    assert parsed.config.media_type == descriptor.OCI_CONFIG
    assert [str(layer.digest) for layer in parsed.layers] == [f"sha256:{HEX}"]


def test_index_with_platforms() -> None:
    entry = described(
        descriptor.DOCKER_MANIFEST, platform={"os": "linux", "architecture": "arm", "variant": "v7"}
    )
    data = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    parsed = image.parse_manifest(data, descriptor.DOCKER_LIST)
    assert isinstance(parsed, image.Index)
    assert parsed.media_type == descriptor.DOCKER_LIST
    assert str(parsed.manifests[0].platform) == "linux/arm/v7"


def test_type_from_the_registry_where_the_document_is_silent() -> None:
    parsed = image.parse_manifest(manifest(mediaType=None), descriptor.DOCKER_MANIFEST)
    assert parsed.media_type == descriptor.DOCKER_MANIFEST
    assert image.parse_manifest(manifest(mediaType=None)).media_type == descriptor.OCI_MANIFEST


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "the manifest is not JSON"),
        (b"[]", "manifest is"),
        (manifest(schemaVersion=3), "schemaVersion"),
        (manifest(config=None), r"manifest\.config is missing"),
        (manifest(config=described(size=-1)), r"manifest\.config\.size is -1"),
        (manifest(config=described(size="7")), r"manifest\.config\.size is '7', not an integer"),
        (manifest(config=described(digest="sha256:12")), r"manifest\.config\.digest"),
        (manifest(layers={}), r"manifest\.layers is"),
        (manifest(layers=[described(), 5]), r"manifest\.layers\[1\] is '5', not an object"),
        (manifest(layers=[described(digest=None)]), r"manifest\.layers\[0\]\.digest is missing"),
        (manifest(manifests=[]), "ambiguous"),
        (manifest(mediaType="text/html"), "no image"),
        (manifest(layers=[described()] * 501), "501"),
        (b" " * (5 << 20), "bytes"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_malformed_manifest(data: bytes, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        image.parse_manifest(data)


def test_a_manifest_served_as_an_index_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="served as"):
        image.parse_manifest(manifest(), descriptor.OCI_INDEX)


@pytest.mark.parametrize("kind", ["", descriptor.DOCKER_SCHEMA1_SIGNED])
def test_schema_1(kind: str) -> None:
    with pytest.raises(Unimplemented, match="schema 1"):
        image.parse_manifest(json.dumps({"schemaVersion": 1}).encode(), kind)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"null", "config is"),
        (config(rootfs={"type": "base"}), r"config\.rootfs\.type"),
        (config(rootfs={"diff_ids": ["sha256:0"]}), r"config\.rootfs\.diff_ids\[0\]"),
        (config(rootfs={"diff_ids": [1]}), r"config\.rootfs\.diff_ids\[0\] is '1', not a string"),
        (config(config={"Env": "A=b"}), r"config\.config\.Env is 'A=b', not an array"),
        (config(config={"Cmd": [None]}), r"config\.config\.Cmd\[0\]"),
        (config(config={"User": 5}), r"config\.config\.User"),
        (config(os=5), r"config\.os is '5', not a string"),
    ],
)
def test_malformed_config(data: bytes, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        image.parse_config(data)


def test_loose_configs_are_read() -> None:
    loose = config(config=None, history=None, created=None, rootfs={"diff_ids": None})
    parsed = image.parse_config(loose)
    assert parsed.diff_ids == ()
    assert parsed.created == ""


def test_layers_and_diff_ids_must_be_as_many() -> None:
    parsed = image.parse_manifest(manifest(layers=[]))
    assert isinstance(parsed, image.Manifest)
    with pytest.raises(InvalidArgument, match="0 layers, but the config has 1 diff ids"):
        image.check_layers(parsed, image.parse_config(config()))


def test_unknown_layer_type() -> None:
    parsed = image.parse_manifest(manifest(layers=[described("application/x-thing")]))
    assert isinstance(parsed, image.Manifest)
    with pytest.raises(CortenError, match="application/x-thing"):
        image.check_layers(parsed, image.parse_config(config()))


def test_chain_ids() -> None:
    """config.md: ChainID(L0) = DiffID(L0); then the digest of the two joined by a space."""
    one, two = digest.parse("sha256:" + "1" * 64), digest.parse("sha256:" + "2" * 64)
    joined = hashlib.sha256(f"{one} {two}".encode()).hexdigest()
    assert [str(c) for c in image.chain_ids((one, two))] == [str(one), f"sha256:{joined}"]


@pytest.mark.parametrize(
    "text", ["", "sha256", "sha256:", "sha256:" + "A" * 64, "sha256:" + "a" * 63, "md5:" + "a" * 32]
)
def test_bad_digests(text: str) -> None:
    with pytest.raises(InvalidArgument, match="the thing"):
        digest.parse(text, field="the thing")
