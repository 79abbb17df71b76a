"""Additional processes in a container: create, start with streams, resize, inspect."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from typing import Any

from aiohttp import web

from corten.dockerapi import create, frames, pump
from corten.dockerapi.call import TENANT, Call, TakenOver, empty, json
from corten.dockerapi.containers import size
from corten.dockerapi.requests import ExecBody, ExecStartBody
from corten.dockerapi.streaming import content_type, detach_scanner, open_stream, say
from corten.engine.types import Exec
from corten.errors import CortenError, FailedPrecondition, InvalidArgument

_EXIT_SECONDS = 2.0


async def create_exec(call: Call) -> web.Response:
    """``POST /containers/{id}/exec``."""
    record = call.engine.get_container(TENANT, call.params["id"])
    config = create.exec_config(await call.body(ExecBody))
    detach_scanner(config.detach_keys, tty=config.tty, what="escape")
    made = await call.engine.create_exec(TENANT, record.id, config)
    return json({"Id": made.id}, 201)


async def start_exec(call: Call) -> web.StreamResponse:
    """``POST /exec/{id}/start``: detached, or with the connection as its streams."""
    body = await call.body(ExecStartBody, optional=True)
    record = call.engine.get_exec(TENANT, call.params["id"])
    console = create.console_size(body.console_size)
    if body.detach:
        await call.engine.start_exec(TENANT, record.id, stream=False)
        return empty(200)
    if console and not body.tty:
        raise InvalidArgument("ConsoleSize is only for an exec with a terminal (Tty)")
    _check_startable(call, record)
    await _stream(call, record, console, raw=bool(body.tty))
    return TakenOver()


def _check_startable(call: Call, record: Exec) -> None:
    if record.started:
        raise FailedPrecondition(f"Error: Exec command {record.id} has been started already")
    status = call.engine.get_container(TENANT, record.container_id).state.status
    if status != "running":
        raise FailedPrecondition(f"container {record.container_id} is {status}, not running")


def _shape(*, tty: bool, raw: bool) -> Callable[[bytes], bytes] | None:
    """Whether the stream has frames is the start's word, not the exec's, as with dockerd."""
    if tty == raw:
        return None
    if tty:
        return functools.partial(frames.frame, frames.STDOUT)
    decoder = frames.Decoder()
    return lambda data: b"".join([payload for _, payload in decoder.feed(data)])


async def _stream(call: Call, record: Exec, console: tuple[int, int] | None, *, raw: bool) -> None:
    """The head first, then the program, as dockerd does it: clients that read the head through
    a buffer (docker-py) lose output that comes with it. So an error is said in the stream;
    the command line then asks for the exit code (126, 127)."""
    config = record.config
    scanner = detach_scanner(config.detach_keys, tty=config.tty)
    async with open_stream(call, content_type(call, tty=raw)) as client:
        try:
            connected = await call.engine.start_exec(TENANT, record.id, stream=True)
        except CortenError as error:
            await say(client, error, tty=raw)
            return
        assert connected is not None
        async with pump.adopted(connected) as monitor:
            if console:
                with contextlib.suppress(CortenError):  # it may have ended already
                    await call.engine.resize_exec(TENANT, record.id, *console)
            detached = await pump.run(
                client,
                monitor,
                stdin=config.attach_stdin,
                detach=scanner,
                shape=_shape(tty=config.tty, raw=raw),
            )
            if not detached and not client.writer.is_closing():
                await _ended(call, record.id)


async def _ended(call: Call, exec_id: str) -> None:
    """The end of the stream is the client's sign to ask for the exit code: it must be there.

    A process that has closed its output may run on; the client does not wait for that."""
    with contextlib.suppress(TimeoutError, CortenError):
        async with asyncio.timeout(_EXIT_SECONDS):
            await call.engine.wait_exec(TENANT, exec_id)


async def resize_exec(call: Call) -> web.Response:
    """``POST /exec/{id}/resize``."""
    rows, cols = size(call)
    await call.engine.resize_exec(TENANT, call.params["id"], rows, cols)
    return empty(200)


async def inspect_exec(call: Call) -> web.Response:
    """``GET /exec/{id}/json``."""
    return json(document(call.engine.get_exec(TENANT, call.params["id"])))


def document(record: Exec) -> dict[str, Any]:
    """An exec in docker's shape. No I/O."""
    config = record.config
    process: dict[str, Any] = {
        "tty": config.tty,
        "entrypoint": config.args[0],
        "arguments": list(config.args[1:]),
        "privileged": config.privileged,
    }
    if config.user:
        process["user"] = config.user
    return {
        "ID": record.id,
        "Running": record.running,
        "ExitCode": record.exit_code,
        "ProcessConfig": process,
        "OpenStdin": config.attach_stdin,
        "OpenStderr": config.attach_stderr,
        "OpenStdout": config.attach_stdout,
        "CanRemove": False,
        "ContainerID": record.container_id,
        "DetachKeys": config.detach_keys,
        "Pid": record.pid,
    }
