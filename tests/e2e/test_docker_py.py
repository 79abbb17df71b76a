"""docker-py, the client library that most Python programs use, against a real daemon."""

from __future__ import annotations

import gc
import socket
import warnings
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from tests.e2e.transcript import box
from tests.e2e.transcript.serve import images
from tests.harness import Daemon

pytestmark = [
    pytest.mark.skipif(not box.BUSYBOX.exists(), reason="needs busybox-static"),
    # docker-py never closes the connection of an exec or attach (its own pool forgets it).
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def client(daemon: Daemon) -> Iterator[Any]:
    one = docker.DockerClient(base_url=daemon.docker_host)
    try:
        yield one
    finally:
        one.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.fixture(scope="module")
def image(client: Any) -> Iterator[str]:
    with images() as names:
        client.images.pull(names["box"])
        yield names["box"]


def test_facts(client: Any) -> None:
    assert client.ping()
    assert client.version()["ApiVersion"] == "1.55"
    assert client.info()["OSType"] == "linux"


def test_run(client: Any, image: str) -> None:
    assert client.containers.run(image, "echo hi", remove=True) == b"hi\n"
    with pytest.raises(docker.errors.ContainerError) as caught:
        client.containers.run(image, ["sh", "-c", "echo no >&2; exit 3"], remove=True)
    assert (caught.value.exit_status, caught.value.stderr) == (3, b"no\n")


def test_life(client: Any, image: str) -> None:
    one = client.containers.run(image, "sleep 60", detach=True, name="life", labels={"a": "b"})
    try:
        assert one.status == "created"  # as it was read before the start
        one.reload()
        assert one.status == "running"
        assert [c.name for c in client.containers.list(filters={"label": "a=b"})] == ["life"]
        assert one.exec_run(["sh", "-c", "echo in; exit 4"]) == (4, b"in\n")
        out, err = one.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True).output
        assert (out, err) == (b"o\n", b"e\n")
        one.pause()
        one.unpause()
        one.stop(timeout=0)
        assert one.wait()["StatusCode"] == 137
    finally:
        one.remove(force=True)
    with pytest.raises(docker.errors.NotFound, match="No such container"):
        client.containers.get("life")


def test_logs(client: Any, image: str) -> None:
    one = client.containers.run(image, ["sh", "-c", "echo 1; sleep 0.2; echo 2"], detach=True)
    try:
        assert b"".join(one.logs(stream=True, follow=True)) == b"1\n2\n"
        assert one.logs(tail=1) == b"2\n"
    finally:
        one.remove(force=True)


def test_attach_by_a_socket(client: Any, image: str) -> None:
    one = client.containers.create(image, "cat", stdin_open=True, tty=False)
    try:
        stream = one.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
        one.start()
        raw: socket.socket = stream._sock
        raw.sendall(b"hello\n")
        frame = b"\1\0\0\0\0\0\0\6hello\n"
        assert raw.recv(len(frame), socket.MSG_WAITALL) == frame
        stream.close()
    finally:
        one.remove(force=True)


def test_exec_by_a_socket_on_a_connection_that_was_used(client: Any, image: str) -> None:
    one = client.containers.run(image, "sleep 60", detach=True)
    try:
        result = one.exec_run("cat", stdin=True, tty=True, socket=True)
        raw: socket.socket = result.output._sock
        raw.sendall(b"typed\n")
        data = b""
        while data.count(b"typed") < 2:  # the echo and the answer
            data += raw.recv(100)
        raw.close()
        result.output.close()
    finally:
        one.remove(force=True)


def test_errors_have_their_classes(client: Any, image: str) -> None:
    with pytest.raises(docker.errors.ImageNotFound):
        client.containers.create("127.0.0.1:1/nosuch:1", "true")
    with pytest.raises(docker.errors.APIError, match="executable file not found"):
        client.containers.run(image, "nosuch", remove=True)
    with pytest.raises(docker.errors.APIError, match="not implemented by corten yet"):
        client.swarm.init()


def test_images(client: Any, image: str) -> None:
    found = client.images.get(image)
    assert found.tags == [f"{image}:latest"]
    assert found.id in [one.id for one in client.images.list()]
    assert client.images.list(filters={"reference": "nosuch"}) == []


def test_links(client: Any, image: str) -> None:
    """On a network of the user's a name for one container alone; on the default bridge a line
    in /etc/hosts, and variables."""
    net = client.networks.create("t-links")
    made = [client.containers.run(image, "sleep 60", detach=True, name="db", network="t-links")]
    try:
        settings = {"t-links": client.api.create_endpoint_config(links={"db": "store"})}
        options = {"network": "t-links", "networking_config": settings, "detach": True}
        made.append(client.containers.run(image, "sleep 60", **options))
        address = client.containers.get("db").attrs["NetworkSettings"]["Networks"]["t-links"]
        asked = made[-1].exec_run("nslookup store")
        assert address["IPAddress"] in asked.output.decode(), asked
        assert made[0].exec_run("nslookup store").exit_code != 0
        made.append(client.containers.run(image, "sleep 60", detach=True, ports={"80/tcp": None}))
        old = client.containers.run(image, "sleep 60", detach=True, links={made[-1].name: "old-db"})
        made.append(old)
        hosts = old.exec_run("cat /etc/hosts").output.decode()
        assert f"old-db {made[-2].id[:12]} {made[-2].name}" in hosts
        assert "OLD_DB_PORT=tcp://" in old.exec_run("cat /proc/1/environ").output.decode()
        made[-2].stop(timeout=0)
        with pytest.raises(docker.errors.APIError, match="Cannot link to a non running container"):
            client.containers.run(image, "true", links={made[-2].name: "x"}, remove=True)
    finally:
        for one in made:
            one.remove(force=True)
        net.remove()


def test_an_exec_has_frames_if_its_start_says_so(client: Any, image: str) -> None:
    one = client.containers.run(image, "sleep 60", detach=True)
    try:
        made = client.api.exec_create(one.id, ["printf", "%s", "text"], tty=True)
        assert client.api.exec_start(made, demux=True) == (b"text", None)
        made = client.api.exec_create(one.id, ["sh", "-c", "printf out; printf err >&2"])
        assert sorted(client.api.exec_start(made, tty=True)) == sorted(b"outerr")
    finally:
        one.remove(force=True)


def test_in_no_swarm(client: Any) -> None:
    with pytest.raises(docker.errors.APIError, match="not a swarm manager"):
        client.services.list()
    assert client.swarm.leave(force=True)


def test_commit_of_one_that_has_just_ended(client: Any, image: str) -> None:
    for _ in range(5):
        one = client.containers.create(image, "true")
        one.start()
        client.images.remove(one.commit().id)
        one.remove(force=True)


def test_a_registry_is_asked(client: Any, image: str) -> None:
    data = client.images.get_registry_data(image)
    assert data.has_platform("linux/amd64") or data.has_platform("linux/arm64")
    assert data.attrs["Descriptor"]["digest"].startswith("sha256:")


def test_what_is_no_archive(client: Any) -> None:
    with pytest.raises(docker.errors.ImageLoadError):
        client.images.load(b"abc")
