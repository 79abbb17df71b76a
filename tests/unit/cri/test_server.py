"""The server with real gRPC calls, over an engine that is a few dictionaries."""

from __future__ import annotations

import asyncio
import base64
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import pytest

from corten.cri.execs import Demultiplexer
from corten.cri.images import credentials
from corten.cri.pb import cri_pb2 as pb
from corten.cri.server import CriConfig, serve
from corten.engine.contract import Engine
from corten.engine.types import Auth, Exec, ExecConfig, Image
from corten.errors import InvalidArgument, NotFound, ResourceExhausted

IMAGE = Image(
    id="sha256:1",
    tags=("docker.io/library/app:1", "docker.io/library/app:2"),
    size=10,
    config={"config": {"User": "www"}},
)


class FakeEngine:
    """Answers what the tests ask for; anything else is an AttributeError."""

    def __init__(self) -> None:
        self.images = {name: IMAGE for name in (IMAGE.id, *IMAGE.tags)}
        self.auth: Auth | None = None
        self.exec = ExecConfig(args=("true",))
        self.killed: list[str] = []
        self.exec_output = b""
        self.exec_hangs = False

    def info(self) -> dict[str, Any]:
        return {"cgroup_driver": "systemd", "runtimes": {"runc": {}}}

    def list_images(self, tenant: str) -> list[Image]:
        return [IMAGE] * 250 if self.images else []

    def get_image(self, tenant: str, ref: str) -> Image:
        if ref not in self.images:
            raise NotFound(f"No such image: {ref}")
        return self.images[ref]

    async def pull_image(self, tenant: str, ref: str, *, auth: Auth | None = None) -> Image:
        self.auth = auth
        if ref == "full":
            raise ResourceExhausted("the disk is full", hint="free some space")
        if ref == "broken":
            raise KeyError("a defect")
        return IMAGE

    async def remove_image(self, tenant: str, ref: str, *, force: bool = False) -> list[Any]:
        assert (ref, force) == (IMAGE.id, True)
        self.images.clear()
        return []

    async def create_exec(self, tenant: str, ref: str, config: ExecConfig) -> Exec:
        self.exec = config
        return Exec(id="e1", container_id=ref, config=config)

    async def start_exec(self, tenant: str, exec_id: str, *, stream: bool) -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.sendall(self.exec_output)
        if self.exec_hangs:
            self._held = theirs
        else:
            theirs.close()
        return ours

    async def wait_exec(self, tenant: str, exec_id: str) -> int:
        return 3

    async def kill_exec(self, tenant: str, exec_id: str, *, signal: str) -> None:
        self.killed.append(f"{exec_id} {signal}")
        self._held.close()


class Client:
    """Calls by name, with the message classes of the .proto."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def __call__(self, service: str, method: str, request: Any) -> Any:
        found = pb.DESCRIPTOR.services_by_name[service].methods_by_name[method]
        answer = getattr(pb, found.output_type.name)
        path = f"/runtime.v1.{service}/{method}"
        if found.server_streaming:
            stream = self._channel.unary_stream(
                path,
                request_serializer=type(request).SerializeToString,
                response_deserializer=answer.FromString,
            )
            return [part async for part in stream(request)]
        unary = self._channel.unary_unary(
            path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return await unary(request, timeout=10)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def call(engine: FakeEngine, tmp_path: Path) -> AsyncIterator[Client]:
    path = tmp_path / "cri.sock"
    config = CriConfig(root_dir="/data", version="1.2.3", shutdown_seconds=0.1)
    server = await serve(cast(Engine, engine), str(path), config=config)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        yield Client(channel)
    await server.close()
    assert not path.exists()


async def code_of(awaitable: Any) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return caught.value.code().name, caught.value.details() or ""


async def test_version_and_cgroup_driver(call: Client) -> None:
    version = await call("RuntimeService", "Version", pb.VersionRequest())
    assert (version.runtime_name, version.runtime_version) == ("corten", "1.2.3")
    config = await call("RuntimeService", "RuntimeConfig", pb.RuntimeConfigRequest())
    assert config.linux.cgroup_driver == pb.SYSTEMD


async def test_what_is_not_offered_names_itself(call: Client) -> None:
    code, details = await code_of(
        call("RuntimeService", "PortForward", pb.PortForwardRequest(pod_sandbox_id="x"))
    )
    assert code == "UNIMPLEMENTED" and "PortForward" in details
    code, details = await code_of(
        call("RuntimeService", "GetContainerEvents", pb.GetEventsRequest())
    )
    assert code == "UNIMPLEMENTED" and "GetContainerEvents" in details


async def test_errors_have_codes_and_hints_and_defects_are_internal(call: Client) -> None:
    def pull(name: str) -> Any:
        request = pb.PullImageRequest(image=pb.ImageSpec(image=name))
        return call("ImageService", "PullImage", request)

    assert await code_of(pull("full")) == (
        "RESOURCE_EXHAUSTED",
        "the disk is full: free some space",
    )
    assert await code_of(pull("")) == ("INVALID_ARGUMENT", "PullImage names no image")
    assert await code_of(pull("broken")) == ("INTERNAL", "KeyError: 'a defect'")


async def test_the_image_id_is_the_same_everywhere(call: Client, engine: FakeEngine) -> None:
    spec = pb.ImageSpec(image="app")
    auth = pb.AuthConfig(username="u", password="p")
    pulled = await call("ImageService", "PullImage", pb.PullImageRequest(image=spec, auth=auth))
    by_tag = pb.ImageSpec(image=IMAGE.tags[0])
    shown = await call("ImageService", "ImageStatus", pb.ImageStatusRequest(image=by_tag))
    assert pulled.image_ref == shown.image.id == IMAGE.id
    assert (shown.image.username, shown.image.HasField("uid")) == ("www", False)
    assert engine.auth == Auth(username="u", password="p")


async def test_an_image_that_is_not_there_is_no_error(call: Client) -> None:
    absent = pb.ImageSpec(image="absent")
    shown = await call("ImageService", "ImageStatus", pb.ImageStatusRequest(image=absent))
    assert not shown.HasField("image")
    await call("ImageService", "RemoveImage", pb.RemoveImageRequest(image=absent))
    wanted = pb.ImageFilter(image=absent)
    listed = await call("ImageService", "ListImages", pb.ListImagesRequest(filter=wanted))
    assert not listed.images


async def test_removing_by_one_tag_removes_the_image(call: Client, engine: FakeEngine) -> None:
    by_tag = pb.ImageSpec(image=IMAGE.tags[1])
    await call("ImageService", "RemoveImage", pb.RemoveImageRequest(image=by_tag))
    assert not engine.images


async def test_images_are_streamed_in_parts_without_duplicates(call: Client) -> None:
    parts = await call("ImageService", "StreamImages", pb.StreamImagesRequest())
    assert [len(part.images) for part in parts] == [100, 100, 50]


async def test_the_file_system_of_images(call: Client) -> None:
    info = await call("ImageService", "ImageFsInfo", pb.ImageFsInfoRequest())
    assert info.image_filesystems[0].fs_id.mountpoint == "/data"
    assert info.image_filesystems[0].used_bytes.value == 2500


async def test_exec_sync_gives_streams_and_exit_code(call: Client, engine: FakeEngine) -> None:
    engine.exec_output = b"\x01\0\0\0\0\0\0\x03out\x02\0\0\0\0\0\0\x03err"
    request = pb.ExecSyncRequest(container_id="c", cmd=["sh", "-c", "x"], timeout=5)
    done = await call("RuntimeService", "ExecSync", request)
    assert (done.stdout, done.stderr, done.exit_code) == (b"out", b"err", 3)
    assert engine.exec.args == ("sh", "-c", "x")


async def test_exec_sync_kills_what_takes_too_long(call: Client, engine: FakeEngine) -> None:
    engine.exec_hangs = True
    request = pb.ExecSyncRequest(container_id="c", cmd=["sleep"], timeout=1)
    code, details = await code_of(call("RuntimeService", "ExecSync", request))
    assert code == "DEADLINE_EXCEEDED" and "sleep" in details
    assert engine.killed == ["e1 KILL"]


def test_frames_come_in_any_pieces() -> None:
    data = b"\x01\0\0\0\0\0\0\x05hello\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x01!"
    for size in range(1, len(data)):
        frames = Demultiplexer()
        for start in range(0, len(data), size):
            frames.feed(data[start : start + size])
        assert (bytes(frames.output[1]), bytes(frames.output[2])) == (b"hello!", b"")


def test_output_beyond_the_limit_is_dropped() -> None:
    frames = Demultiplexer(limit=4)
    for _ in range(3):
        frames.feed(b"\x01\0\0\0\0\0\0\x03abc")
    assert bytes(frames.output[1]) == b"abca"


def test_credentials() -> None:
    packed = base64.b64encode(b"user:pass:word").decode()
    assert credentials(pb.AuthConfig(auth=packed)) == Auth(username="user", password="pass:word")
    with pytest.raises(InvalidArgument, match="Base64"):
        credentials(pb.AuthConfig(auth="%%%"))


async def test_a_stale_socket_is_replaced(tmp_path: Path, engine: FakeEngine) -> None:
    path = tmp_path / "cri.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    server = await serve(cast(Engine, engine), str(path))
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        answer = await Client(channel)("RuntimeService", "Version", pb.VersionRequest())
        assert answer.runtime_name == "corten"
    await server.close()
    await asyncio.sleep(0)
