"""What streams of a container: logs, attach, wait."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from aiohttp import web

from corten.dockerapi import detach, errors, frames, pump, times
from corten.dockerapi.batch import Batch
from corten.dockerapi.call import TENANT, Call, TakenOver, json
from corten.engine.closing import closing
from corten.engine.contract import WaitCondition
from corten.engine.types import Container, ExitStatus, LogLine
from corten.errors import CortenError, FailedPrecondition, InvalidArgument

log = logging.getLogger(__name__)

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"

_CONDITIONS: dict[str, WaitCondition] = {
    "": "not-running",
    "not-running": "not-running",
    "next-exit": "next-exit",
    "removed": "removed",
}


def content_type(call: Call, *, tty: bool) -> str:
    """The type of a stream: clients from 1.42 on are told whether it has frames."""
    return RAW if tty or not call.since(42) else MULTIPLEXED


def upgrade_head(call: Call, kind: str) -> bytes:
    """The head of an answer that turns the connection into a raw stream."""
    if call.request.headers.get("Upgrade", ""):
        lines = ["HTTP/1.1 101 UPGRADED", f"Content-Type: {kind}"]
        lines += ["Connection: Upgrade", "Upgrade: tcp"]
    else:
        lines = ["HTTP/1.1 200 OK", f"Content-Type: {RAW}"]
    return "\r\n".join([*lines, "", ""]).encode()


@contextlib.asynccontextmanager
async def open_stream(call: Call, kind: str) -> AsyncIterator[pump.Stream]:
    """Take the connection over and send the head; at the end what is buffered is sent.

    Raises ConnectionError where the client is gone already."""
    client = pump.Stream(*call.take_over())
    try:
        client.writer.write(upgrade_head(call, kind))
        try:
            yield client
        except CortenError as error:  # there is no other answer any more
            log.warning("%s: the stream ends: %s", call.request.path, error)
        client.writer.close()
        with contextlib.suppress(ConnectionError):
            await client.writer.wait_closed()
    finally:
        client.writer.transport.abort()


async def say(client: pump.Stream, error: CortenError, *, tty: bool) -> None:
    """An error in a stream whose head is out already."""
    text = errors.message(error).encode() + b"\r\n"
    await pump.head_taken(client)
    client.writer.write(text if tty else frames.frame(frames.STDOUT, text))


def detach_scanner(text: str, *, tty: bool, what: str = "detach") -> detach.Scanner:
    """Finds the detach keys; without a terminal there are none.

    Raises:
        InvalidArgument: keys that are none.
    """
    try:
        keys = detach.parse(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"Invalid {what} keys ({text}) provided: {error}") from None
    return detach.Scanner(keys if tty else b"")


async def attach(call: Call) -> web.StreamResponse:
    """``POST /containers/{id}/attach``."""
    record = call.engine.get_container(TENANT, call.params["id"])
    if record.state.status in ("paused", "restarting"):
        hint = "unpause the container" if record.state.status == "paused" else "wait until it runs"
        raise FailedPrecondition(
            f"container {record.id} is {record.state.status}, {hint} before attach"
        )
    tty = record.config.tty
    kind = content_type(call, tty=tty)
    try:
        scanner = detach_scanner(call.text("detachKeys"), tty=tty)
    except InvalidArgument as error:  # said in the stream, as dockerd does it
        async with open_stream(call, kind) as client:
            await say(client, error, tty=tty)
        return TakenOver()
    stdin = call.flag("stdin") and record.config.open_stdin
    streams = {"stdout": call.flag("stdout"), "stderr": call.flag("stderr")}
    if not call.flag("stream"):
        async with open_stream(call, kind) as client:
            await _replay(call, record, client, streams)
        return TakenOver()
    connected = await call.engine.attach_container(TENANT, record.id, stdin=stdin, **streams)
    async with pump.adopted(connected) as monitor, open_stream(call, kind) as client:
        await _replay(call, record, client, streams)
        await pump.run(client, monitor, stdin=stdin, detach=scanner)
    return TakenOver()


async def _replay(
    call: Call, record: Container, client: pump.Stream, streams: dict[str, bool]
) -> None:
    """What was written before, if ``logs`` asks for it."""
    if not call.flag("logs"):
        return
    await pump.head_taken(client)
    async with closing(call.engine.logs(TENANT, record.id, **streams)) as lines:
        async for line in lines:
            client.writer.write(line.data if record.config.tty else _framed(line, line.data))
            await client.writer.drain()


async def logs(call: Call) -> web.StreamResponse:
    """``GET /containers/{id}/logs``."""
    stdout, stderr = call.flag("stdout"), call.flag("stderr")
    if not (stdout or stderr):
        raise InvalidArgument("Bad parameters: you must choose at least one stream")
    record = call.engine.get_container(TENANT, call.params["id"])
    follow = call.flag("follow")
    lines = call.engine.logs(
        TENANT,
        record.id,
        stdout=stdout,
        stderr=stderr,
        follow=follow,
        tail=tail(call.text("tail")),
        since=call.timestamp("since"),
        until=call.timestamp("until"),
    )
    first = asyncio.ensure_future(anext(lines, None))
    try:
        # An error before the first line gets a status of its own; who follows must not wait.
        await asyncio.wait((first,), timeout=0 if follow else None)
        if first.done() and first.exception() is not None:
            first.result()
        tty = record.config.tty
        response = await call.stream(content_type(call, tty=tty))
        async with Batch(response) as batch:
            line = await first
            while line is not None:
                await batch.add(_shown(call, line, tty=tty))
                line = await anext(lines, None)
    finally:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        async with closing(lines):
            pass
    await response.write_eof()
    return response


def tail(text: str) -> int | None:
    """So many lines from the end; ``None`` for all, which is also what a non-number means."""
    try:
        count = int(text)
    except ValueError:
        return None
    return count if count >= 0 else None


async def wait(call: Call) -> web.StreamResponse:
    """``POST /containers/{id}/wait``: the head goes out when the wait is on."""
    text = call.text("condition") if call.since(30) else ""
    if text not in _CONDITIONS:
        raise InvalidArgument(f'invalid condition: "{text}"')
    waiter = call.engine.exit_waiter(TENANT, call.params["id"], condition=_CONDITIONS[text])
    if not call.since(30):
        return json({"StatusCode": (await waiter()).code})
    response = await call.stream("application/json")
    try:
        answer = _exit_answer(await waiter())
    except CortenError as error:
        answer = {"StatusCode": -1, "Error": {"Message": str(error)}}
    await response.write(json(answer).body)  # type: ignore[arg-type]  # bytes, as json made it
    await response.write_eof()
    return response


def _exit_answer(status: ExitStatus) -> dict[str, object]:
    answer: dict[str, object] = {"StatusCode": status.code}
    return answer | ({"Error": {"Message": status.error}} if status.error else {})


def _shown(call: Call, line: LogLine, *, tty: bool) -> bytes:
    data = line.data
    if call.flag("details"):
        data = b" " + data  # after the attributes that log options ask for; there are none yet
    if call.flag("timestamps"):
        data = times.rfc3339_fixed(line.time).encode() + b" " + data
    return data if tty else _framed(line, data)


def _framed(line: LogLine, data: bytes) -> bytes:
    return frames.frame(frames.NUMBERS[line.stream], data)
