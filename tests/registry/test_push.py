"""Pushes to Debian's docker-registry, with skopeo as the second opinion."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from corten.errors import CortenError, NotFound, Unauthenticated
from corten.images.types import Auth, Progress
from tests.conftest import needs_root
from tests.registry.realregistry import PASSWORD, USER, RealRegistry
from tests.unit.images.archives import archive, file
from tests.unit.images.conftest import Store
from tests.unit.images.test_load import load, saved

pytestmark = needs_root
KNOWN = Auth(username=USER, password=PASSWORD)


def inspect(registry: RealRegistry, name: str, *options: str) -> dict[str, Any]:
    command = ["skopeo", "inspect", "--raw", "--tls-verify=false", *options]
    done = subprocess.run(
        [*command, f"docker://{registry.address}/{name}"], check=True, capture_output=True
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


async def push(store: Store, name: str, auth: Auth | None = None) -> tuple[Sequence[str], str]:
    said: list[str] = []

    def note(step: Progress) -> None:
        if step.status != "Pushing":
            said.append(step.status)

    done = await store.images.push("docker", name, auth=auth, progress=note)
    return said, done.digest


async def made(store: Store, name: str, seed: int = 0) -> list[bytes]:
    """An image of two layers that nobody else has."""
    layers = [archive(file(f"f{number}-{seed}", os.urandom(700_000))) for number in range(2)]
    await load(store, saved(layers, [name]))
    return layers


async def test_what_is_pushed_can_be_pulled(store: Store, registry: RealRegistry) -> None:
    name = f"{registry.address}/t/pushed:1"
    await made(store, name)
    image = store.images.get("docker", name)
    said, digest = await push(store, name)
    assert said.count("Pushed") == 2 and said[-1].startswith(f"1: digest: {digest} size: ")
    assert inspect(registry, "t/pushed:1")["config"]["digest"] == image.id
    assert store.images.get("docker", name).digests == (f"{registry.address}/t/pushed@{digest}",)
    await store.images.remove("docker", image.id, force=True)
    again = await store.images.pull("docker", name)
    assert (again.id, again.digests[0].partition("@")[2]) == (image.id, digest)


async def test_the_very_bytes_that_were_pulled(
    store: Store, registry: RealRegistry, layout: Path
) -> None:
    name = registry.push(layout, "t/source:1")
    pulled = await store.images.pull("docker", name)
    await store.images.tag("docker", name, f"{registry.address}/t/copy:1")
    said, digest = await push(store, f"{registry.address}/t/copy:1")
    assert digest == pulled.digests[0].partition("@")[2]
    assert inspect(registry, "t/copy:1") == inspect(registry, "t/source:1")
    # The registry took them from the other repository: nothing was sent.
    assert said.count("Mounted from t/source") == 2 and "Pushed" not in said


async def test_what_is_there_is_not_sent(store: Store, registry: RealRegistry) -> None:
    name = f"{registry.address}/t/twice:1"
    await made(store, name, 1)
    await push(store, name)
    said, _ = await push(store, name)
    assert said.count("Layer already exists") == 2 and "Pushed" not in said


async def test_credentials(store: Store, tmp_path: Path) -> None:
    registry = RealRegistry(tmp_path, auth="basic")
    try:
        name = f"{registry.address}/t/secret:1"
        await made(store, name, 2)
        with pytest.raises(Unauthenticated):
            await push(store, name)
        with pytest.raises(Unauthenticated):
            await push(store, name, Auth(username=USER, password="wrong"))
        await push(store, name, KNOWN)
        assert inspect(registry, "t/secret:1", f"--creds={USER}:{PASSWORD}")["layers"]
        with pytest.raises(Unauthenticated):
            await store.images.check_login(registry.address, Auth(username=USER, password="x"))
        await store.images.check_login(registry.address, KNOWN)
        await store.images.check_login(f"https://{registry.address}/v2/", KNOWN)
        assert list(await store.images.tags(name, auth=KNOWN)) == ["1"]
    finally:
        registry.stop()


async def test_all_tags(store: Store, registry: RealRegistry) -> None:
    for tag in ("a", "b", "c"):
        name = f"{registry.address}/t/tags:{tag}"
        await made(store, name, ord(tag))
        await push(store, name)
    assert sorted(await store.images.tags(f"{registry.address}/t/tags")) == ["a", "b", "c"]
    assert len(store.images.names_of("docker", f"{registry.address}/t/tags")) == 3
    with pytest.raises(NotFound):
        await store.images.tags(f"{registry.address}/t/nosuch")


async def test_what_can_not_be_pushed(store: Store, registry: RealRegistry) -> None:
    with pytest.raises(NotFound, match="does not exist locally with the tag"):
        await push(store, f"{registry.address}/t/never:1")
    await made(store, "127.0.0.1:1/t/x:1", 3)
    with pytest.raises(CortenError, match="does not answer"):
        await push(store, "127.0.0.1:1/t/x:1")


class Cutting:
    """Passes a connection on to a registry, and cuts the first ones in the middle."""

    def __init__(self, target: str, cuts: int) -> None:
        host, _, port = target.partition(":")
        self._target = (host, int(port))
        self.cuts = cuts
        self.address = ""
        self.after = 300_000

    async def __aenter__(self) -> Cutting:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner, outer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        back = asyncio.ensure_future(_copy(inner, writer))
        count = 0
        try:
            while data := await reader.read(65536):
                count += len(data)
                outer.write(data)
                if self.cuts and count > self.after:
                    self.cuts -= 1
                    outer.transport.abort()
                    writer.transport.abort()
                    break
                await outer.drain()
        finally:  # also when the test is over before the other side has said that it is
            back.cancel()
            outer.close()
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def test_a_connection_that_breaks(store: Store, registry: RealRegistry) -> None:
    async with Cutting(registry.address, 2) as between:
        name = f"{between.address}/t/broken:1"
        await made(store, name, 4)
        said, digest = await push(store, name)
        assert between.cuts == 0 and said.count("Pushed") == 2
    image = store.images.get("docker", name)
    assert inspect(registry, "t/broken:1")["config"]["digest"] == image.id
    assert digest


async def test_nobody_there(store: Store) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(CortenError, match="does not answer"):
        await store.images.check_login(where, KNOWN)
