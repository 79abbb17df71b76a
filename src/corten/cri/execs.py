"""ExecSync: a command in a container, run to its end."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from corten.cri.pb import cri_pb2 as pb
from corten.cri.tenant import TENANT
from corten.engine.contract import Engine
from corten.engine.types import ExecConfig
from corten.errors import CortenError, DeadlineExceeded, InvalidArgument

_HEADER = 8  # Docker's frame: stream number, three zeros, big-endian length
_LIMIT = 16 << 20  # bytes of output that are kept, as by the peers; more is read and dropped
_CHUNK = 64 << 10
_MOMENT = 2.0  # seconds for a kill to be done
Starting = asyncio.Future[socket.socket | None]


class Demultiplexer:
    """Docker's frames into two buffers; no I/O."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self.output = {1: bytearray(), 2: bytearray()}
        self._limit = limit
        self._pending = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes as they come."""
        pending = self._pending
        pending += data
        offset = 0
        while len(pending) - offset >= _HEADER:
            length = int.from_bytes(pending[offset + 4 : offset + _HEADER])
            if len(pending) - offset - _HEADER < length:
                break
            self._keep(pending[offset], pending[offset + _HEADER : offset + _HEADER + length])
            offset += _HEADER + length
        del pending[:offset]

    def _keep(self, stream: int, data: bytearray) -> None:
        buffer = self.output.get(stream)
        if buffer is not None:
            buffer += data[: self._limit - len(buffer)]


class Execs:
    """ExecSync; Exec and Attach need the streaming server, which comes later."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ending: set[asyncio.Task[None]] = set()

    async def ExecSync(self, request: pb.ExecSyncRequest) -> pb.ExecSyncResponse:
        """Raises DeadlineExceeded, after the process was killed, when ``timeout`` seconds
        (0: none) have passed. A client that goes away ends the command, too, as under
        containerd: it was a probe, whose answer nobody waits for."""
        if not request.cmd:
            raise InvalidArgument("ExecSync names no command")
        config = ExecConfig(args=tuple(request.cmd), attach_stdout=True, attach_stderr=True)
        made = await self._engine.create_exec(TENANT, request.container_id, config)
        seconds = request.timeout if request.timeout > 0 else None
        starting = asyncio.ensure_future(self._engine.start_exec(TENANT, made.id, stream=True))
        try:
            async with asyncio.timeout(seconds):
                return await self._run(made.id, starting)
        except asyncio.CancelledError:
            self._end_apart(made.id, starting)
            raise
        except TimeoutError:
            await asyncio.wait((self._end_apart(made.id, starting),), timeout=_MOMENT)
            raise DeadlineExceeded(
                f"command {request.cmd[0]!r} timed out after {seconds} seconds"
            ) from None

    def _end_apart(self, exec_id: str, starting: Starting) -> asyncio.Task[None]:
        task = asyncio.create_task(self._end(exec_id, starting), name=f"end-exec-{exec_id[:12]}")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    async def _end(self, exec_id: str, starting: Starting) -> None:
        """Kill it, once it is there to be killed."""
        with contextlib.suppress(CortenError):  # it did not start, or has just ended
            stream = await starting
            if stream is not None:
                stream.close()
            await self._engine.kill_exec(TENANT, exec_id, signal="KILL")

    async def _run(self, exec_id: str, starting: Starting) -> pb.ExecSyncResponse:
        stream = await asyncio.shield(starting)
        frames = Demultiplexer()
        if stream is not None:
            with stream:
                await _drain(stream, frames)
        code = await self._engine.wait_exec(TENANT, exec_id)
        return pb.ExecSyncResponse(
            stdout=bytes(frames.output[1]), stderr=bytes(frames.output[2]), exit_code=code
        )


async def _drain(stream: socket.socket, frames: Demultiplexer) -> None:
    stream.setblocking(False)
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(stream, _CHUNK):
        frames.feed(data)
