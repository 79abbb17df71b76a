"""Images by CRI from a registry: pull, ids, credentials, removal by any of the names."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from corten.cri.pb import cri_pb2 as pb
from corten.kernel import namespaces
from corten.testing.registry import FakeRegistry
from tests.cri.client import Cri, Pod
from tests.cri.conftest import CriDaemon


@contextmanager
def registry(server: CriDaemon, **options: str) -> Iterator[FakeRegistry]:
    """A registry at 127.0.0.1 of the daemon's network namespace."""
    made = FakeRegistry(**options)
    ready, end = threading.Event(), threading.Event()

    async def serve() -> None:
        async with made:
            made.add("app:1", [layer()])
            made.add("app:2", [layer()])
            ready.set()
            await asyncio.to_thread(end.wait)

    def body() -> None:
        fd = os.open(server.netns, os.O_RDONLY)
        namespaces.setns(fd, namespaces.CLONE_NEWNET)
        os.close(fd)
        asyncio.run(serve())

    thread = threading.Thread(target=body)
    thread.start()
    try:
        assert ready.wait(10)
        yield made
    finally:
        end.set()
        thread.join()


def layer() -> bytes:
    """A layer with busybox in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add("/bin/busybox", "bin/busybox")
    return buffer.getvalue()


def pull(cri: Cri, name: str, **auth: str) -> str:
    request = pb.PullImageRequest(image=pb.ImageSpec(image=name))
    if auth:
        request.auth.CopyFrom(pb.AuthConfig(**auth))
    answer: str = cri.PullImage(request).image_ref
    return answer


def status(cri: Cri, name: str) -> pb.Image | None:
    answer = cri.ImageStatus(pb.ImageStatusRequest(image=pb.ImageSpec(image=name)))
    return answer.image if answer.HasField("image") else None


def test_an_image_is_pulled_run_and_removed_by_any_name(
    cri: Cri, pod: Pod, cri_daemon: CriDaemon
) -> None:
    with registry(cri_daemon) as source:
        one, two = (f"{source.address}/app:{tag}" for tag in "12")
        image_id = pull(cri, one)
        assert pull(cri, two) == image_id  # the same configuration
    shown = status(cri, one)
    assert shown is not None
    assert (shown.id, sorted(shown.repo_tags)) == (image_id, [one, two])
    assert all(f"{source.address}/app@sha256:" in digest for digest in shown.repo_digests)
    config = pod.container_config("app", "/bin/busybox", "true")
    config.image.image = image_id
    made = cri.CreateContainer(pb.CreateContainerRequest(pod_sandbox_id=pod.id, config=config))
    cri.StartContainer(pb.StartContainerRequest(container_id=made.container_id))
    ended = cri.wait(made.container_id)
    assert (ended.exit_code, ended.image_id) == (0, image_id)
    cri.RemoveContainer(pb.RemoveContainerRequest(container_id=made.container_id))
    for _ in range(2):
        cri.RemoveImage(pb.RemoveImageRequest(image=pb.ImageSpec(image=two)))
    assert status(cri, one) is status(cri, image_id) is None


def test_credentials_are_used(cri: Cri, cri_daemon: CriDaemon) -> None:
    with registry(cri_daemon, auth="basic", user="me", password="secret") as source:
        name = f"{source.address}/app:1"
        with pytest.raises(grpc.RpcError) as caught:
            pull(cri, name, username="me", password="wrong")
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert "wrong" not in caught.value.details()
        assert pull(cri, name, username="me", password="secret").startswith("sha256:")
    cri.RemoveImage(pb.RemoveImageRequest(image=pb.ImageSpec(image=name)))


def test_an_image_that_is_nowhere(cri: Cri, cri_daemon: CriDaemon) -> None:
    with registry(cri_daemon) as source, pytest.raises(grpc.RpcError) as caught:
        pull(cri, f"{source.address}/absent:1")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
