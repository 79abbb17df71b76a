"""The native protocol as a client sees it: frames in, frames out."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from corten.api import server as server_module
from corten.api.server import Server
from corten.engine.types import LogLine
from corten.spec import frames
from tests.unit.api.fake_engine import FakeEngine, Running
from tests.unit.api.raw import Raw

REPLY, ERROR, ITEM, LINES, CANCEL = 2, 3, 4, 5, 6


async def hold(running: Running) -> int:
    return int(await running.signals.get())


async def test_hello_names_version_and_protocol(raw: Raw) -> None:
    await raw.ask(7, "hello")
    kind, number, value = await raw.frame()
    assert (kind, number, value["protocol"]) == (REPLY, 7, 1)


async def test_requests_are_answered_out_of_order(raw: Raw, engine: FakeEngine) -> None:
    engine.programs["hold"] = hold
    await raw.ask(1, "run", config={"image": "img", "cmd": ["hold"]}, wait="not-running")
    assert (await raw.frame())[:2] == (ITEM, 1)
    assert (await raw.frame())[:2] == (ITEM, 1)
    await raw.ask(2, "list_containers")
    kind, number, value = await raw.frame()
    assert (kind, number, len(value)) == (REPLY, 2, 1)
    await raw.ask(3, "kill_container", ref="name1", signal="5")
    answers = [await raw.frame(), await raw.frame()]
    assert sorted(answers, key=lambda a: a[1]) == [(REPLY, 1, {"code": 5}), (REPLY, 3, None)]


async def test_the_streams_descriptor_is_handed_over(raw: Raw, engine: FakeEngine) -> None:
    async def say(running: Running) -> int:
        await running.out(b"hello")
        return 0

    engine.programs["say"] = say
    await raw.ask(
        1, "run", config={"image": "img", "cmd": ["say"]}, attach=True, wait="not-running"
    )
    assert "created" in (await raw.frame())[2]
    assert "started" in (await raw.frame())[2]
    assert await raw.frame() == (REPLY, 1, {"code": 0})
    assert len(raw.fds) == 1
    assert os.read(raw.fds[0], 100) == b"\1\0\0\0\0\0\0\5hello"
    assert os.read(raw.fds[0], 100) == b""


async def test_errors_carry_code_and_hint(raw: Raw) -> None:
    await raw.ask(1, "run", config={"image": "absent"})
    kind, number, error = await raw.frame()
    assert (kind, number) == (ERROR, 1)
    assert (error["code"], error["path"], error["hint"]) == ("not_found", "absent", "pull it")


@pytest.mark.parametrize(
    ("payload", "code", "word"),
    [
        (b'{"op":"fly"}', "unimplemented", "fly"),
        (b'{"op":"run","config":{"image":1}}', "invalid_argument", "$.config.image"),
        (b'{"op":"hello","extra":1}', "invalid_argument", "extra"),
        (b"nonsense", "invalid_argument", "not a request"),
        (b'{"op":"list_containers","tenant":"other"}', "invalid_argument", "tenant"),
    ],
)
async def test_bad_requests_name_what_is_wrong(
    raw: Raw, payload: bytes, code: str, word: str
) -> None:
    await raw.send(1, payload)
    kind, _, error = await raw.frame()
    assert (kind, error["code"]) == (ERROR, code)
    assert word in error["message"]


async def test_a_defect_is_an_internal_error_and_the_connection_lives(
    raw: Raw, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.images = None  # type: ignore[assignment]  # the defect
    await raw.ask(1, "list_images")
    kind, _, error = await raw.frame()
    assert (kind, error["code"]) == (ERROR, "internal")
    assert "Traceback" in caplog.text
    await raw.ask(2, "info")
    assert (await raw.frame())[0] == REPLY


async def test_another_version_is_refused_by_name(raw: Raw) -> None:
    await raw.send(1, b"{}", version=9)
    kind, number, error = await raw.frame()
    assert (kind, number) == (ERROR, 0)
    assert "version 9" in error["message"]
    assert (await raw.frame())[0] == 0


async def test_too_long_a_frame_is_refused_before_it_is_read(raw: Raw) -> None:
    header = frames.HEADER.pack(frames.MAX_PAYLOAD + 1, 1, 1, 0, 1)
    await asyncio.get_running_loop().sock_sendall(raw.sock, header)
    assert (await raw.frame())[0] == ERROR


async def test_cancel_ends_a_wait(raw: Raw, engine: FakeEngine) -> None:
    engine.programs["hold"] = hold
    await raw.ask(1, "run", config={"image": "img", "cmd": ["hold"]})
    for _ in range(3):
        await raw.frame()
    await raw.ask(2, "wait_container", ref="name1")
    await raw.ask(3, "info")
    assert (await raw.frame())[:2] == (REPLY, 3)
    await raw.send(2, b"", kind=CANCEL)
    kind, number, error = await raw.frame()
    assert (kind, number, error["code"]) == (ERROR, 2, "cancelled")
    assert engine.cancelled == ["wait"]


async def test_cancel_in_the_same_packet_is_answered_too(raw: Raw) -> None:
    request = b'{"op":"wait_container","ref":"none"}'
    both = frames.encode(frames.REQUEST, 2, request) + frames.encode(frames.CANCEL, 2)
    await asyncio.get_running_loop().sock_sendall(raw.sock, both)
    kind, number, error = await raw.frame()
    assert (kind, number, error["code"]) == (ERROR, 2, "cancelled")


async def test_a_client_that_goes_away_ends_its_waits_only(
    raw: Raw, engine: FakeEngine, server: Server
) -> None:
    engine.programs["hold"] = hold
    await raw.ask(1, "run", config={"image": "img", "cmd": ["hold"]})
    for _ in range(3):
        await raw.frame()
    await raw.ask(2, "wait_container", ref="name1")
    await raw.ask(3, "info")
    assert (await raw.frame())[:2] == (REPLY, 3)  # so the wait has begun
    raw.sock.close()
    async with asyncio.timeout(5):
        while not engine.cancelled:
            await asyncio.sleep(0)
    assert engine.get_container("docker", "name1").state.status == "running"


async def test_log_lines_come_in_batches_and_late_ones_at_once(
    raw: Raw, engine: FakeEngine
) -> None:
    engine.programs["hold"] = hold
    await raw.ask(1, "run", config={"image": "img", "cmd": ["hold"]})
    for _ in range(3):
        await raw.frame()
    engine.lines = [LogLine(time=i, stream="stdout", data=b"x\n") for i in range(1000)]
    await raw.ask(2, "logs", ref="name1", follow=True)
    kind, number, payload = await raw.frame()
    assert (kind, number) == (LINES, 2)
    lines = list(frames.decode_lines(payload))
    assert len(lines) == 1000
    assert lines[999] == (999, 1, False, b"x\n")
    engine.more_lines.put_nowait(LogLine(time=5, stream="stderr", data=b"e", partial=True))
    _, _, payload = await raw.frame()
    assert list(frames.decode_lines(payload)) == [(5, 2, True, b"e")]


async def test_a_slow_reader_makes_the_engine_wait(raw: Raw, engine: FakeEngine) -> None:
    produced = 0

    async def endless(*_a: object, **_o: object):  # type: ignore[no-untyped-def]
        nonlocal produced
        while True:
            produced += 1
            yield LogLine(time=0, stream="stdout", data=b"x" * 65536)

    engine.logs = endless  # type: ignore[method-assign]  # a double
    await raw.ask(1, "logs", ref="any")
    await asyncio.sleep(0.2)
    assert produced < 100


async def test_strangers_are_told_which_group(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "may_connect", lambda *_: False)
    server = await server_module.serve(engine, tmp_path / "s", group="corten")  # type: ignore[arg-type]
    connection = await Raw.connect(tmp_path / "s")
    kind, number, error = await connection.frame()
    assert (kind, number, error["code"]) == (ERROR, 0, "permission_denied")
    assert "usermod -aG corten" in error["hint"]
    connection.close()
    await server.close()


async def test_the_socket_is_not_for_everybody(server: Server, tmp_path: Path) -> None:
    mode = (tmp_path / "corten.sock").stat().st_mode & 0o777
    assert mode in (0o600, 0o660)


async def test_a_stale_socket_is_replaced(engine: FakeEngine, tmp_path: Path) -> None:
    for _ in range(2):
        server = await server_module.serve(engine, tmp_path / "s")  # type: ignore[arg-type]
        server._loop.remove_reader(server._listener.fileno())
        server._listener.close()  # as a killed daemon leaves it
    server = await server_module.serve(engine, tmp_path / "s")  # type: ignore[arg-type]
    connection = await Raw.connect(tmp_path / "s")
    await connection.ask(1, "hello")
    assert (await connection.frame())[0] == REPLY
    connection.close()
    await server.close()
