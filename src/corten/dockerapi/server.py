"""The Docker Engine API on a listening socket: what the daemon calls.

The daemon makes the socket (path, mode, group), this module serves it. Everything a
request does is the engine's; closing the server ends connections, never containers.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import cast

from aiohttp import web

from corten.dockerapi import call, errors, versions
from corten.dockerapi.config import DockerConfig
from corten.dockerapi.connection import Connection, ConnectionServer
from corten.dockerapi.routes import ROUTER
from corten.engine.contract import Engine
from corten.errors import CortenError, exhausted

__all__ = ["DockerConfig", "DockerServer", "serve"]

log = logging.getLogger(__name__)


class DockerServer:
    """A running server; made by :func:`serve`."""

    def __init__(self, engine: Engine, config: DockerConfig) -> None:
        self._engine = engine
        self._config = config
        self._connections = ConnectionServer(self._answer)
        self._listening: asyncio.Server | None = None
        self._plain: set[asyncio.Task[object]] = set()
        self._streams: set[asyncio.Task[object]] = set()

    async def _listen(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        make = loop.create_unix_server if listener.family == socket.AF_UNIX else loop.create_server
        self._listening = await make(self._connections, sock=listener, backlog=512)

    async def close(self) -> None:
        """Stop accepting, end what is open, return when nothing runs any more. Idempotent."""
        if self._listening is None:
            return
        self._listening.close()
        self._listening = None
        self._connections.pre_shutdown()
        await self._end(self._streams)
        if self._plain:
            await asyncio.wait(self._plain, timeout=self._config.shutdown_seconds)
        await self._end(self._plain)
        await self._connections.shutdown(timeout=0.1)

    async def _end(self, tasks: set[asyncio.Task[object]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        self._plain.add(task)
        try:
            response = await self._dispatch(request, task)
        except CortenError as error:
            response = call.failure(errors.status(error), errors.message(error))
        except ConnectionError:  # the client went away while it was written to
            return call.TakenOver()
        except web.HTTPException as error:  # of aiohttp's own: a body that is too large
            response = call.failure(error.status, error.text or error.reason)
        except Exception as error:
            response = _unexpected(request, error)
        finally:
            self._plain.discard(task)
            self._streams.discard(task)
        if not response.prepared:
            response.headers.update(call.COMMON_HEADERS)
            if cast(Connection, request.protocol).ends_http:
                response.force_close()
        return response

    async def _dispatch(
        self, request: web.BaseRequest, task: asyncio.Task[object]
    ) -> web.StreamResponse:
        version, path = versions.split(request.path)
        match = ROUTER.match(request.method, path)
        if match is None:
            return call.failure(404, "page not found")

        def on_stream() -> None:
            self._plain.discard(task)
            self._streams.add(task)

        this = call.Call(
            request, self._engine, self._config, version, match.params, on_stream=on_stream
        )
        return await match.handler(this)


def _unexpected(request: web.BaseRequest, error: Exception) -> web.StreamResponse:
    """What no layer has an error for: something is used up, or a defect of ours."""
    used_up = exhausted(error) if isinstance(error, OSError) else None
    if used_up is not None:
        return call.failure(errors.status(used_up), errors.message(used_up))
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return call.failure(500, f"{request.path}: internal error, see the daemon's log")


async def serve(
    engine: Engine, listener: socket.socket, *, config: DockerConfig | None = None
) -> DockerServer:
    """Serve the Docker API on ``listener``, a bound and listening stream socket.

    Arguments:
        engine: answers everything.
        listener: owned by the server from here on.
    Returns:
        a server that accepts connections already.
    """
    server = DockerServer(engine, config or DockerConfig())
    await server._listen(listener)
    return server
