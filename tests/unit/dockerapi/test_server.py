"""The server on a socket, over an engine that knows one container: HTTP as dockerd speaks it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
import pytest_asyncio

from corten.dockerapi.frames import STDERR, STDOUT, frame
from corten.dockerapi.server import DockerServer, serve
from corten.engine.contract import Engine
from corten.engine.types import Container, Exec, ExecConfig, ExitStatus, LogLine, Progress
from corten.errors import FailedPrecondition, NotFound, NotModified, ProgramNotFound
from tests.unit.dockerapi.records import ID, container, image


class OneContainer:
    """As much of an engine as these tests need; ``monitor`` is the far end of its streams."""

    def __init__(self) -> None:
        self.record = container(config={"open_stdin": True})
        self.exec = Exec(id="e1", container_id=ID, config=ExecConfig(args=("sh",)))
        self.monitor: socket.socket | None = None
        self.exit: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self.lines: list[LogLine] = []
        self.cancelled = asyncio.Event()

    def get_container(self, tenant: str, ref: str) -> Container:
        if ref not in (ID, "db"):
            raise NotFound(f"No such container: {ref}")
        return self.record

    def list_containers(self, tenant: str) -> list[Container]:
        return [self.record]

    def get_image(self, tenant: str, ref: str) -> Any:
        return image()

    async def start_container(self, tenant: str, ref: str) -> None:
        raise {
            "running": NotModified("it runs"),
            "broken": ProgramNotFound("x is missing", hint="install it"),
        }.get(ref) or RuntimeError("a defect")

    async def pause_container(self, tenant: str, ref: str) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.cancelled.set()

    async def attach_container(self, tenant: str, ref: str, **streams: bool) -> socket.socket:
        return self._pair()

    def get_exec(self, tenant: str, exec_id: str) -> Exec:
        return self.exec

    async def start_exec(self, tenant: str, exec_id: str, **options: Any) -> socket.socket:
        if self.exec.config.args == ("missing",):
            raise ProgramNotFound("missing is missing")
        if self.exec.started:
            raise FailedPrecondition("started already")
        return self._pair()

    async def wait_exec(self, tenant: str, exec_id: str) -> int:
        return 0

    def exit_waiter(self, tenant: str, ref: str, *, condition: str) -> Callable[[], Any]:
        self.get_container(tenant, ref)

        async def wait() -> ExitStatus:
            return await asyncio.shield(self.exit)

        return wait

    async def logs(self, tenant: str, ref: str, **options: Any) -> AsyncIterator[LogLine]:
        for line in self.lines:
            yield line
        if options["follow"]:
            await asyncio.get_running_loop().create_future()

    async def pull_image(self, tenant: str, ref: str, **options: Any) -> Any:
        if ref.endswith("nosuch:latest"):
            raise NotFound("no such repository")
        options["progress"](Progress(id="ab", status="Pulling fs layer"))
        if ref.endswith("torn:latest"):
            raise NotFound("torn")
        return image()

    def _pair(self) -> socket.socket:
        ours, self.monitor = socket.socketpair()
        self.monitor.setblocking(False)
        return ours


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "docker.sock")


@pytest_asyncio.fixture
async def engine(path: str) -> AsyncIterator[OneContainer]:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    one = OneContainer()
    server: DockerServer = await serve(cast(Engine, one), listener)
    try:
        yield one
    finally:
        async with asyncio.timeout(10):
            await server.close()
            await server.close()
        if one.monitor is not None:
            one.monitor.close()
        assert asyncio.all_tasks() - {asyncio.current_task()} == set()


class Answer:
    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def message(self) -> str:
        return str(json.loads(self.body)["message"])


async def ask(path: str, method: str, target: str, **options: Any) -> Answer:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as session,
        session.request(method, f"http://docker{target}", **options) as response,
    ):
        return Answer(response.status, response.headers, await response.read())


# plain requests ------------------------------------------------------------------------


async def test_ping(engine: OneContainer, path: str) -> None:
    for method, body in (("GET", b"OK"), ("HEAD", b"")):
        answer = await ask(path, method, "/_ping")
        assert (answer.status, answer.body) == (200, body)
        assert answer.headers["Api-Version"] == "1.55"
        assert answer.headers["Ostype"] == "linux"
        assert answer.headers["Docker-Experimental"] == "false"
        assert answer.headers["Builder-Version"] == "1"
        assert answer.headers["Server"].startswith("Corten/")


@pytest.mark.parametrize(
    ("method", "target", "status", "words"),
    [
        ("GET", "/nosuch", 404, "page not found"),
        ("PUT", "/info", 404, "page not found"),
        ("GET", "/v1.23/info", 400, "too old"),
        ("GET", "/v1.99/info", 400, "too new"),
        ("GET", "/containers/x/json", 404, "No such container: x"),
        ("POST", "/containers/broken/start", 400, "executable file not found in $PATH: install"),
        ("POST", "/containers/other/start", 500, "internal error"),
        ("POST", "/build", 501, "building images is not implemented by corten yet"),
        ("POST", "/swarm/init", 501, "swarm mode is not implemented by corten yet"),
        ("GET", "/containers/db/logs", 400, "at least one stream"),
        ("GET", "/containers/json?filters=%7B%22x%22%3A%5B%221%22%5D%7D", 400, "invalid filter"),
        ("GET", "/containers/json?limit=x", 400, "invalid limit"),
        ("POST", "/containers/db/resize?h=1", 400, "invalid resize w"),
        ("POST", "/containers/db/wait?condition=x", 400, "invalid condition"),
        ("POST", "/containers/create?name=-x", 400, "Invalid container name"),
        ("POST", "/containers/create", 400, "needs a JSON body"),
    ],
)
async def test_errors(
    engine: OneContainer, path: str, method: str, target: str, status: int, words: str
) -> None:
    answer = await ask(path, method, target)
    assert (answer.status, words in answer.message) == (status, True), answer.body


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"{", "application/json", "invalid JSON"),
        (b'{"Image":1}', "application/json", "$.Image"),
        (b"{}", "text/plain", "Content-Type"),
        (b"{}", "application/json", "no image"),
    ],
)
async def test_bad_bodies(
    engine: OneContainer, path: str, body: bytes, content_type: str, words: str
) -> None:
    headers = {"Content-Type": content_type}
    answer = await ask(path, "POST", "/containers/create", data=body, headers=headers)
    assert (answer.status, words in answer.message) == (400, True), answer.body


async def test_not_modified_has_no_body(engine: OneContainer, path: str) -> None:
    answer = await ask(path, "POST", "/containers/running/start")
    assert (answer.status, answer.body) == (304, b"")


async def test_several_requests_on_one_connection(engine: OneContainer, path: str) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n" * 2)
    for _ in range(2):
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(2) == b"OK"
    writer.close()
    await writer.wait_closed()


async def test_client_that_goes_away_ends_its_handler(engine: OneContainer, path: str) -> None:
    _, writer = await asyncio.open_unix_connection(path)
    writer.write(b"POST /containers/db/pause HTTP/1.1\r\nHost: d\r\n\r\n")
    await writer.drain()
    await asyncio.sleep(0)
    writer.close()
    async with asyncio.timeout(10):
        await engine.cancelled.wait()


# streams of HTTP -----------------------------------------------------------------------


async def test_wait_answers_its_head_at_once(engine: OneContainer, path: str) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"POST /v1.41/containers/db/wait HTTP/1.1\r\nHost: d\r\n\r\n")
    async with asyncio.timeout(10):
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        engine.exit.set_result(ExitStatus(code=3))
        assert b'{"StatusCode":3}' in await reader.readuntil(b"\r\n0\r\n\r\n")
    writer.close()
    await writer.wait_closed()


async def test_wait_of_an_old_client(engine: OneContainer, path: str) -> None:
    engine.exit.set_result(ExitStatus(code=3))
    answer = await ask(path, "POST", "/v1.24/containers/db/wait")
    assert json.loads(answer.body) == {"StatusCode": 3}


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/v1.41", "application/vnd.docker.raw-stream"),
        ("", "application/vnd.docker.multiplexed-stream"),
    ],
)
async def test_logs(engine: OneContainer, path: str, target: str, kind: str) -> None:
    engine.lines = [
        LogLine(time=1_700_000_000_000_000_000, stream="stdout", data=b"a\n"),
        LogLine(time=1_700_000_000_000_000_001, stream="stderr", data=b"b", partial=True),
    ]
    answer = await ask(path, "GET", f"{target}/containers/db/logs?stdout=1&stderr=1")
    assert answer.headers["Content-Type"] == kind
    assert answer.body == frame(STDOUT, b"a\n") + frame(STDERR, b"b")
    answer = await ask(path, "GET", "/containers/db/logs?stdout=1&timestamps=1&details=1")
    assert frame(STDOUT, b"2023-11-14T22:13:20.000000000Z  a\n") in answer.body


async def test_many_lines_arrive_whole(engine: OneContainer, path: str) -> None:
    engine.record = container(config={"tty": True})
    engine.lines = [
        LogLine(time=1, stream="stdout", data=b"%07d\n" % number) for number in range(50_000)
    ]
    answer = await ask(path, "GET", "/containers/db/logs?stdout=1")
    assert answer.body == b"".join(line.data for line in engine.lines)


async def test_followed_logs_show_what_there_is(engine: OneContainer, path: str) -> None:
    engine.lines = [LogLine(time=1, stream="stdout", data=b"a\n")]
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"GET /containers/db/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n")
    async with asyncio.timeout(10):
        await reader.readuntil(b"a\n")
    writer.close()
    await writer.wait_closed()


async def test_pull(engine: OneContainer, path: str) -> None:
    answer = await ask(path, "POST", "/images/create?fromImage=redis&tag=7")
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert lines == [{"status": "Pulling fs layer", "progressDetail": {}, "id": "ab"}]


async def test_pull_that_fails_before_it_begins(engine: OneContainer, path: str) -> None:
    answer = await ask(path, "POST", "/images/create?fromImage=nosuch&tag=latest")
    assert (answer.status, answer.message) == (404, "no such repository")


async def test_pull_that_fails_under_way(engine: OneContainer, path: str) -> None:
    answer = await ask(path, "POST", "/images/create?fromImage=torn&tag=latest")
    assert answer.status == 200
    assert json.loads(answer.body.splitlines()[-1]) == {
        "errorDetail": {"message": "torn"},
        "error": "torn",
    }
