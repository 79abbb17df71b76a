"""Archives between HTTP bodies and the engine's transfers, with bounded memory."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from corten.dockerapi.call import Call, TakenOver
from corten.errors import CortenError

_READ = 256 << 10
_DRAIN = 64 << 20  # bytes of a refused body that are still read, so that its sender hears why
_GONE = (BrokenPipeError, ConnectionResetError)
TAR = "application/x-tar"


async def receive(call: Call, transfer: Any) -> Any:
    """Give a request's body to a transfer; its result. Raises what went wrong with it."""
    sock = transfer.take()
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    ended = asyncio.ensure_future(transfer.done())
    try:
        async for chunk in call.request.content.iter_any():
            try:
                await loop.sock_sendall(sock, chunk)
            except _GONE:
                break
        else:
            sock.shutdown(socket.SHUT_WR)
            return await ended
        await _drain(call)
        return await ended
    finally:
        ended.cancel()
        await asyncio.gather(ended, return_exceptions=True)
        sock.close()


async def _drain(call: Call) -> None:
    count = 0
    async for chunk in call.request.content.iter_any():
        count += len(chunk)
        if count > _DRAIN:
            return


async def send(
    call: Call, transfer: Any, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Answer with a transfer's archive; a failure on the way breaks the connection off."""
    loop = asyncio.get_running_loop()
    sock = transfer.take()
    sock.setblocking(False)
    try:
        response = await call.stream(TAR, headers)
        while data := await loop.sock_recv(sock, _READ):
            await response.write(data)
        await transfer.done()
        await response.write_eof()
        return response
    except CortenError:
        transport = call.request.transport
        if transport is not None:
            transport.abort()  # without a last chunk: the client knows that it is not whole
        return TakenOver()
    finally:
        sock.close()
