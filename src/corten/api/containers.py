"""Requests about containers and execs."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from corten.api import requests as r
from corten.engine.closing import closing
from corten.spec import frames

if TYPE_CHECKING:
    from corten.api.connection import Call
    from corten.engine.contract import Engine
    from corten.engine.types import Container, Exec, ExitStatus, LogLine, Stats

_LINES_BATCH = 64 << 10
_STREAMS = {"stdout": frames.STDOUT, "stderr": frames.STDERR}


async def create(engine: Engine, q: r.CreateContainer, _call: Call) -> Container:
    return await engine.create_container(
        q.tenant, q.config, name=q.name, pod_id=q.pod_id, attempt=q.attempt, origin=q.origin
    )


async def run(engine: Engine, q: r.Run, call: Call) -> ExitStatus | None:
    container = await engine.create_container(q.tenant, q.config, name=q.name, origin=q.origin)
    return await _start(engine, q, container, call)


async def start_attached(engine: Engine, q: r.Start, call: Call) -> ExitStatus | None:
    return await _start(engine, q, engine.get_container(q.tenant, q.ref), call)


async def _start(
    engine: Engine, q: r.Run | r.Start, container: Container, call: Call
) -> ExitStatus | None:
    """Attach and subscribe before the start, so that neither output nor exit is missed."""
    streams: tuple[socket.socket, ...] = ()
    if q.attach:
        streams = (await _attach(engine, q, container.id),)
    call.item({"created": container}, streams)
    waiter = None
    if q.wait is not None:
        waiter = engine.exit_waiter(q.tenant, container.id, condition=q.wait)
    call.item({"started": await engine.start_container(q.tenant, container.id)})
    status: ExitStatus | None = await waiter() if waiter is not None else None
    return status


async def _attach(engine: Engine, q: r.StreamSides, ref: str) -> socket.socket:
    return await engine.attach_container(
        q.tenant, ref, stdin=q.stdin, stdout=q.stdout, stderr=q.stderr
    )


async def attach(engine: Engine, q: r.AttachContainer, _call: Call) -> socket.socket:
    return await _attach(engine, q, q.ref)


async def start(engine: Engine, q: r.StartContainer, _call: Call) -> Container:
    return await engine.start_container(q.tenant, q.ref)


async def stop(engine: Engine, q: r.StopContainer, _call: Call) -> Container:
    return await engine.stop_container(q.tenant, q.ref, timeout=q.timeout, signal=q.signal)


async def restart(engine: Engine, q: r.RestartContainer, _call: Call) -> Container:
    return await engine.restart_container(q.tenant, q.ref, timeout=q.timeout, signal=q.signal)


async def kill(engine: Engine, q: r.KillContainer, _call: Call) -> None:
    await engine.kill_container(q.tenant, q.ref, signal=q.signal)


async def wait(engine: Engine, q: r.WaitContainer, _call: Call) -> ExitStatus:
    return await engine.wait_container(q.tenant, q.ref, condition=q.condition)


async def remove(engine: Engine, q: r.RemoveContainer, _call: Call) -> None:
    await engine.remove_container(q.tenant, q.ref, force=q.force, volumes=q.volumes)


async def pause(engine: Engine, q: r.PauseContainer, _call: Call) -> None:
    await engine.pause_container(q.tenant, q.ref)


async def unpause(engine: Engine, q: r.UnpauseContainer, _call: Call) -> None:
    await engine.unpause_container(q.tenant, q.ref)


def get(engine: Engine, q: r.GetContainer) -> Container:
    return engine.get_container(q.tenant, q.ref)


def list_all(engine: Engine, q: r.ListContainers) -> Any:
    return engine.list_containers(q.tenant)


async def resize(engine: Engine, q: r.ResizeContainer, _call: Call) -> None:
    await engine.resize_container(q.tenant, q.ref, q.rows, q.cols)


async def update(engine: Engine, q: r.UpdateContainer, _call: Call) -> Container:
    return await engine.update_container(q.tenant, q.ref, q.changes)


async def rename(engine: Engine, q: r.RenameContainer, _call: Call) -> Container:
    return await engine.rename_container(q.tenant, q.ref, q.name)


async def stats(engine: Engine, q: r.ContainerStats, _call: Call) -> Stats:
    return await engine.container_stats(q.tenant, q.ref)


async def top(engine: Engine, q: r.TopContainer, _call: Call) -> list[int]:
    return await engine.top_container(q.tenant, q.ref)


async def logs(engine: Engine, q: r.Logs, call: Call) -> None:
    batch = _Batch(call)
    found = engine.logs(
        q.tenant,
        q.ref,
        stdout=q.stdout,
        stderr=q.stderr,
        follow=q.follow,
        tail=q.tail,
        since=q.since,
        until=q.until,
    )
    async with closing(found) as lines:
        async for line in lines:
            batch.add(line)
            if batch.full:
                batch.flush()
                await call.drain()
    batch.flush()


class _Batch:
    """Log records on their way: they go out when enough have come, or when the loop turns,
    which is when the engine waits for more. So many lines cost one frame, and none waits."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._data = bytearray()

    def add(self, line: LogLine) -> None:
        if not self._data:
            self._loop.call_soon(self.flush)
        self._data += frames.encode_line(line.time, _STREAMS[line.stream], line.data, line.partial)

    @property
    def full(self) -> bool:
        return len(self._data) >= _LINES_BATCH

    def flush(self) -> None:
        if self._data:
            self._call.lines(bytes(self._data))
            self._data.clear()


# execs ----------------------------------------------------------------------------------


async def create_exec(engine: Engine, q: r.CreateExec, _call: Call) -> Exec:
    return await engine.create_exec(q.tenant, q.ref, q.config)


async def run_exec(engine: Engine, q: r.RunExec, call: Call) -> int | None:
    def started(exec_: Exec, stream: socket.socket | None) -> None:
        call.item({"started": exec_}, () if stream is None else (stream,))

    made = await engine.run_exec(q.tenant, q.ref, q.config, stream=q.stream, started=started)
    return await engine.wait_exec(q.tenant, made.id) if q.wait else None


async def start_exec(engine: Engine, q: r.StartExec, _call: Call) -> socket.socket | None:
    return await engine.start_exec(q.tenant, q.exec_id, stream=q.stream, tty=q.tty)


async def wait_exec(engine: Engine, q: r.WaitExec, _call: Call) -> int:
    return await engine.wait_exec(q.tenant, q.exec_id)


def get_exec(engine: Engine, q: r.GetExec) -> Exec:
    return engine.get_exec(q.tenant, q.exec_id)


def list_execs(engine: Engine, q: r.ListExecs) -> Any:
    return engine.list_execs(q.tenant, q.ref)


async def resize_exec(engine: Engine, q: r.ResizeExec, _call: Call) -> None:
    await engine.resize_exec(q.tenant, q.exec_id, q.rows, q.cols)
