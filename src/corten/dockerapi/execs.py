"""Additional processes in a container: create, start with streams, resize, inspect."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from aiohttp import web

from corten.dockerapi import create, pump
from corten.dockerapi.call import TENANT, Call, TakenOver, empty, json
from corten.dockerapi.containers import size
from corten.dockerapi.requests import ExecBody, ExecStartBody
from corten.dockerapi.streaming import content_type, detach_scanner, open_stream, say
from corten.engine.types import Exec
from corten.errors import CortenError, InvalidArgument

_EXIT_SECONDS = 2.0
_BEFORE_STREAM = ("not_found", "failed_precondition", "unimplemented")


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
    scanner = detach_scanner(record.config.detach_keys, tty=record.config.tty)
    kind = content_type(call, tty=record.config.tty)
    try:
        connected = await call.engine.start_exec(TENANT, record.id, stream=True)
    except CortenError as error:
        if error.code in _BEFORE_STREAM:
            raise
        return await say(call, kind, error, tty=record.config.tty)
    assert connected is not None
    async with pump.adopted(connected) as monitor, open_stream(call, kind) as client:
        if console:
            with contextlib.suppress(CortenError):  # it may have ended already
                await call.engine.resize_exec(TENANT, record.id, *console)
        stdin = record.config.attach_stdin
        detached = await pump.run(client, monitor, stdin=stdin, detach=scanner)
        if not detached and not client.writer.is_closing():
            await _ended(call, record.id)
    return TakenOver()


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
