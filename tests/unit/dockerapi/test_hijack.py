"""Connections that become raw streams: attach and exec, with and without an upgrade."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from corten.dockerapi.frames import STDOUT, frame
from corten.engine.types import ExecConfig
from tests.unit.dockerapi.records import container
from tests.unit.dockerapi.test_server import OneContainer, engine, path

__all__ = ["engine", "path"]

ATTACH = "/containers/db/attach?stream=1&stdin=1&stdout=1&stderr=1"
UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\n"


class Peer:
    """A client that speaks HTTP by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def post(self, target: str, headers: str = "", body: bytes = b"", behind: bytes = b"") -> None:
        head = f"POST {target} HTTP/1.1\r\nHost: d\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        self.writer.write(head.encode() + body + behind)

    async def head(self) -> str:
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()


@contextlib.asynccontextmanager
async def connected(path: str) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        async with asyncio.timeout(20):
            yield Peer(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def received(engine: OneContainer, count: int) -> bytes:
    """What the monitor got, ``count`` bytes of it, or up to the end."""
    assert engine.monitor is not None
    data = b""
    while len(data) < count:
        piece = await asyncio.get_running_loop().sock_recv(engine.monitor, 65536)
        if not piece:
            break
        data += piece
    return data


async def sent(engine: OneContainer, data: bytes) -> None:
    assert engine.monitor is not None
    await asyncio.get_running_loop().sock_sendall(engine.monitor, data)


@pytest.mark.parametrize(
    ("target", "tty", "kind"),
    [
        ("", False, "application/vnd.docker.multiplexed-stream"),
        ("/v1.41", False, "application/vnd.docker.raw-stream"),
        ("", True, "application/vnd.docker.raw-stream"),
    ],
)
async def test_upgrade(engine: OneContainer, path: str, target: str, tty: bool, kind: str) -> None:
    engine.record = container(config={"open_stdin": True, "tty": tty})
    async with connected(path) as peer:
        peer.post(target + ATTACH, UPGRADE)
        head = await peer.head()
        assert head.startswith("HTTP/1.1 101 UPGRADED\r\n")
        assert f"Content-Type: {kind}\r\n" in head
        assert "Upgrade: tcp\r\n" in head


async def test_old_raw_mode(engine: OneContainer, path: str) -> None:
    async with connected(path) as peer:
        peer.post(ATTACH)
        head = await peer.head()
        assert head.startswith("HTTP/1.1 200 OK\r\n")
        assert "application/vnd.docker.raw-stream" in head


@pytest.mark.parametrize("headers", ["", UPGRADE])
async def test_both_ways_and_half_close(engine: OneContainer, path: str, headers: str) -> None:
    async with connected(path) as peer:
        peer.post(ATTACH, headers, behind=b"early ")
        await peer.head()
        peer.writer.write(b"late")
        assert await received(engine, 10) == b"early late"
        peer.writer.write_eof()
        assert await received(engine, 1) == b""  # its input has ended
        await sent(engine, frame(STDOUT, b"answer"))
        assert await peer.reader.readexactly(14) == frame(STDOUT, b"answer")
        assert engine.monitor is not None
        engine.monitor.close()
        assert await peer.reader.read() == b""


async def test_everything_in_one_piece(engine: OneContainer, path: str) -> None:
    """A shell's ``socat``: request, input and its end before the server has looked."""
    async with connected(path) as peer:
        peer.post(ATTACH, behind=b"x" * 300_000)
        peer.writer.write_eof()
        await peer.head()
        assert await received(engine, 300_001) == b"x" * 300_000


async def test_connection_that_was_used_before(engine: OneContainer, path: str) -> None:
    async with connected(path) as peer:
        peer.writer.write(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
        await peer.head()
        await peer.reader.readexactly(2)
        peer.post("/exec/e1/start", UPGRADE, body=b'{"Tty": false}', behind=b"in")
        assert "101" in await peer.head()
        await sent(engine, b"out")
        assert await peer.reader.readexactly(3) == b"out"


async def test_input_that_is_not_attached_goes_nowhere(engine: OneContainer, path: str) -> None:
    engine.record = container(config={"open_stdin": False})
    async with connected(path) as peer:
        peer.post(ATTACH, UPGRADE, behind=b"lost")
        await peer.head()
        await sent(engine, b"out")
        assert await peer.reader.readexactly(3) == b"out"
        assert engine.monitor is not None
        with pytest.raises(BlockingIOError):
            engine.monitor.recv(10)


async def test_error_before_the_stream_is_an_answer(engine: OneContainer, path: str) -> None:
    engine.record = container(status="paused")
    async with connected(path) as peer:
        peer.post(ATTACH, UPGRADE)
        head = await peer.head()
        assert "409" in head
        assert "Connection: close" in head


async def test_detach_keys_end_the_stream_alone(engine: OneContainer, path: str) -> None:
    engine.record = container(config={"open_stdin": True, "tty": True})
    async with connected(path) as peer:
        peer.post(ATTACH, UPGRADE)
        await peer.head()
        peer.writer.write(b"a\x10")
        assert await received(engine, 1) == b"a"
        peer.writer.write(b"\x11")
        assert await peer.reader.read() == b""
        assert await received(engine, 1) == b""


async def test_detach_keys_without_a_terminal_are_input(engine: OneContainer, path: str) -> None:
    async with connected(path) as peer:
        peer.post(ATTACH, UPGRADE, behind=b"\x10\x11")
        await peer.head()
        assert await received(engine, 2) == b"\x10\x11"


async def test_unknown_detach_keys_are_said_in_the_stream(engine: OneContainer, path: str) -> None:
    async with connected(path) as peer:
        peer.post(ATTACH + "&detachKeys=nosuch", UPGRADE)
        assert "101" in await peer.head()
        assert b"Invalid detach keys (nosuch) provided" in await peer.reader.read()


async def test_client_that_vanishes_lets_go_of_the_monitor(engine: OneContainer, path: str) -> None:
    """Also after it had ended its own sending, when nobody writes."""
    async with connected(path) as peer:
        peer.post(ATTACH, UPGRADE)
        await peer.head()
        peer.writer.write_eof()
        assert await received(engine, 1) == b""
        peer.writer.close()
        assert engine.monitor is not None
        loop = asyncio.get_running_loop()
        with pytest.raises(BrokenPipeError):  # the far end is closed, not only half
            while True:
                await loop.sock_sendall(engine.monitor, b"")
                engine.monitor.send(b"x")
                await asyncio.sleep(0.01)


async def test_slow_client_stops_the_monitor(engine: OneContainer, path: str) -> None:
    async with connected(path) as peer:
        peer.post(ATTACH, UPGRADE)
        await peer.head()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        assert engine.monitor is not None
        total = 0
        for _ in range(200):  # until nothing is taken for a while
            try:
                total += engine.monitor.send(b"x" * 65536)
            except BlockingIOError:
                await asyncio.sleep(0.005)
        assert total < 4 << 20


async def test_slow_monitor_stops_the_client(engine: OneContainer, path: str) -> None:
    async with connected(path) as peer:
        peer.post(ATTACH, UPGRADE)
        await peer.head()
        total = 0
        with contextlib.suppress(TimeoutError):
            while total < 64 << 20:
                peer.writer.write(b"x" * 65536)
                total += 65536
                async with asyncio.timeout(0.5):
                    await peer.writer.drain()
        assert total < 8 << 20
        peer.writer.transport.abort()


# execs ---------------------------------------------------------------------------------


async def test_program_that_is_missing_says_so_in_the_stream(
    engine: OneContainer, path: str
) -> None:
    engine.exec = msgspec.structs.replace(engine.exec, config=ExecConfig(args=("missing",)))
    async with connected(path) as peer:
        peer.post("/exec/e1/start", UPGRADE, body=b"{}")
        assert "101" in await peer.head()
        said = b"missing is missing: executable file not found in $PATH\r\n"
        assert await peer.reader.read() == frame(STDOUT, said)


async def test_exec_that_was_started_is_an_answer(engine: OneContainer, path: str) -> None:
    engine.exec = msgspec.structs.replace(engine.exec, started=True)
    async with connected(path) as peer:
        peer.post("/exec/e1/start", UPGRADE, body=b"{}")
        assert "409" in await peer.head()


async def test_size_without_a_terminal(engine: OneContainer, path: str) -> None:
    async with connected(path) as peer:
        peer.post("/exec/e1/start", UPGRADE, body=b'{"ConsoleSize":[1,2]}')
        assert "400" in await peer.head()
