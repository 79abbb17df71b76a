"""One request on its way to a handler, and the answers a handler can give."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import msgspec
from aiohttp import web

from corten import __version__
from corten.dockerapi import errors, query, versions
from corten.dockerapi.config import DockerConfig
from corten.dockerapi.connection import Connection
from corten.engine.contract import Engine
from corten.engine.types import Tenant
from corten.errors import CortenError, InvalidArgument

T = TypeVar("T")

_SMALL = re.compile(rb'\s*\{\s*"[a-z]')  # a member that does not begin as Go writes it
_SMALL_LATER = re.compile(rb',\s*"[a-z]\w*"\s*:')
TENANT: Tenant = "docker"
COMMON_HEADERS = {
    "Api-Version": str(versions.MAXIMUM),
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"Corten/{__version__} (linux)",
}


class Call:
    """A request, matched.

    Fields:
        engine: who answers.
        config: what the daemon told the server.
        version: the API version the client speaks.
        params: the parts of the path.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        engine: Engine,
        config: DockerConfig,
        version: versions.Version,
        params: dict[str, str],
        *,
        on_stream: Callable[[], None],
    ) -> None:
        self.request = request
        self.engine = engine
        self.config = config
        self.version = version
        self.params = params
        self._on_stream = on_stream

    # what was asked ----------------------------------------------------------------------
    def since(self, minor: int) -> bool:
        """Whether the client speaks 1.``minor`` or newer."""
        return self.version >= (1, minor)

    def flag(self, name: str, default: bool = False) -> bool:
        return query.flag(self.request.query, name, default)

    def integer(self, name: str) -> int | None:
        return query.integer(self.request.query, name)

    def text(self, name: str) -> str:
        return self.request.query.get(name, "")

    def timestamp(self, name: str) -> int:
        return query.timestamp(self.request.query, name)

    def filters(self, *allowed: str) -> query.Filters:
        return query.filters(self.text("filters"), allowed)

    async def body(self, shape: type[T], *, optional: bool = False) -> T:
        """The JSON body, validated.

        Arguments:
            optional: an empty body is an empty object.
        Raises:
            InvalidArgument: not JSON, not of this shape, or of another content type.
        """
        data = await self.request.read()
        if not data:
            if not optional:
                raise InvalidArgument("the request needs a JSON body")
            data = b"{}"
        elif (kind := self.request.headers.get("Content-Type")) is not None:
            _check_json(kind)
        try:
            return msgspec.json.decode(_respelled(data, shape), type=shape)
        except msgspec.DecodeError as error:
            raise InvalidArgument(f"invalid JSON: {error}") from None

    # answers -----------------------------------------------------------------------------
    async def stream(
        self, content_type: str, headers: Mapping[str, str] | None = None
    ) -> web.StreamResponse:
        """Send the head of an answer that grows; the client has it when this returns."""
        self._on_stream()
        response = web.StreamResponse(headers={**COMMON_HEADERS, **(headers or {})})
        response.content_type = content_type
        await response.prepare(self.request)
        return response

    def take_over(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The connection as a raw stream; the handler must return :class:`TakenOver`."""
        self._on_stream()
        return cast(Connection, self.request.protocol).take_over()


class TakenOver(web.StreamResponse):
    """What a handler returns when it has spoken on the connection itself."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing: the head was sent."""
        self.force_close()

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing: the stream was closed."""


def _respelled(data: bytes, shape: type[Any]) -> bytes:
    """Go reads ``detachKeys`` as ``DetachKeys``, and docker-py relies on it."""
    if _SMALL.match(data) is None and _SMALL_LATER.search(data) is None:
        return data
    given = msgspec.json.decode(data)
    if not isinstance(given, dict):
        return data
    known = [field.encode_name for field in msgspec.structs.fields(shape)]
    spelled = {name.lower(): name for name in known}
    return msgspec.json.encode(
        {key if key in known else spelled.get(key.lower(), key): v for key, v in given.items()}
    )


def _check_json(content_type: str) -> None:
    """A browser that is led here by a stranger's page can't send this type unasked."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise InvalidArgument(
            f"unsupported Content-Type header ({content_type}): must be 'application/json'"
        )


def json(value: Any, status: int = 200) -> web.Response:
    """A JSON answer with a line end, as dockerd sends it."""
    body = msgspec.json.encode(value) + b"\n"
    return web.Response(body=body, status=status, content_type="application/json")


def empty(status: int = 204) -> web.Response:
    """An answer without a body."""
    return web.Response(status=status)


def failure(status: int, message: str) -> web.Response:
    """dockerd's form of an error."""
    if status == 304:
        return web.Response(status=status)
    return json({"message": message}, status)


def fault(error: CortenError) -> dict[str, Any]:
    """An error inside of a JSON stream whose head said 200."""
    text = errors.message(error)
    return {"errorDetail": {"message": text}, "error": text}
