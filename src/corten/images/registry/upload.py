"""Blobs and manifests into a repository (distribution specification, "Push"); resumed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import aiohttp

from corten.errors import CortenError, Unavailable
from corten.images.registry import problems
from corten.images.registry.connection import Connection
from corten.images.registry.hosts import Endpoint
from corten.images.registry.retries import TRANSIENT, Budget, retry_after
from corten.images.settings import Settings
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest

_BROKEN = (aiohttp.ClientError, TimeoutError, OSError)
_READ = 1 << 18
_OCTETS = {"Content-Type": "application/octet-stream"}


class _Transient(Exception):
    """A failure after which another attempt may work."""

    def __init__(self, error: CortenError, asked: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.asked = asked


class Destination:
    """One repository of one registry, for one push."""

    def __init__(self, connection: Connection, settings: Settings, shown: str) -> None:
        """Arguments:
        shown: the repository's name for messages.
        """
        self._connection = connection
        self._settings = settings
        self._shown = shown
        self._endpoint: Endpoint | None = None

    # asking ----------------------------------------------------------------------------
    async def has(self, digest: Digest) -> bool:
        """Whether the repository has a blob."""
        budget = Budget(self._settings.attempts)
        while True:
            with closing(await self._ask("HEAD", f"blobs/{digest}")) as response:
                if response.status in (200, 404):
                    return response.status == 200
                problem = await self._problem(response, f"blob {digest} of {self._shown}")
            if not isinstance(problem, _Transient):
                raise problem
            await self._wait(budget, problem, 0)

    async def _ask(self, method: str, path: str) -> aiohttp.ClientResponse:
        """A request without a body to the first endpoint that answers, which is then kept."""
        budget = Budget(self._settings.attempts)
        while True:
            failure: BaseException | None = None
            for endpoint in self._connection.origins:
                url = f"{endpoint.base}/v2/{self._connection.path}/{path}"
                try:
                    response = await self._connection.send(endpoint, method, url, {})
                except _BROKEN as error:
                    if failure is None or isinstance(failure, aiohttp.ClientConnectorSSLError):
                        failure = error
                    continue
                self._connection.settle(endpoint)
                self._endpoint = endpoint
                return response
            assert failure is not None
            host = self._connection.origins[-1].host
            problem = problems.from_exception(failure, host)
            if isinstance(failure, aiohttp.ClientConnectorError):
                raise problem
            await self._wait(budget, _Transient(problem), 0)

    # blobs -----------------------------------------------------------------------------
    async def mount(self, digest: Digest, source: str) -> tuple[bool, str]:
        """Ask the registry to take a blob from another repository of its own.

        Returns:
            whether it has, and if not, where to upload it (``""``: nowhere yet).
        """
        query = urlencode({"mount": str(digest), "from": source})
        try:
            with closing(await self._post(f"?{query}")) as response:
                if response.status == 201:
                    return True, ""
                return False, await self._location(response)
        except (CortenError, _Transient):  # an upload will tell what is the matter
            return False, ""

    async def blob(
        self,
        blob: Descriptor,
        fd: int,
        where: str,
        report: Callable[[int], None],
    ) -> None:
        """Upload a blob from a file, going on where a broken transfer ended.

        Arguments:
            where: an upload that was begun; ``""``: one is begun.
            report: called with the bytes that were sent.
        """
        budget = Budget(self._settings.attempts)
        offset = 0
        while True:
            try:
                if not where:
                    offset = 0
                    with closing(await self._post("")) as response:
                        where = await self._location(response)
                where = await self._patch(blob, fd, where, offset, report)
                await self._put(blob, where)
                return
            except _Transient as failure:
                await self._wait(budget, failure, offset)
                where, offset = await self._resume(where, offset)
            except _BROKEN as error:
                host = self._host()
                await self._wait(budget, _Transient(problems.from_exception(error, host)), offset)
                where, offset = await self._resume(where, offset)

    async def _post(self, query: str) -> aiohttp.ClientResponse:
        return await self._ask("POST", f"blobs/uploads/{query}")

    async def _location(self, response: aiohttp.ClientResponse) -> str:
        if response.status != 202:
            raise await self._problem(response, f"upload to {self._shown}")
        location = response.headers.get("Location", "")
        if not location:
            raise Unavailable("the registry names no place for an upload", step="push")
        return location

    async def _patch(
        self, blob: Descriptor, fd: int, where: str, offset: int, report: Callable[[int], None]
    ) -> str:
        stall = self._settings.stall_seconds
        loop = asyncio.get_running_loop()
        headers = _OCTETS | {"Content-Length": str(blob.size - offset)}
        if offset:
            headers["Content-Range"] = f"{offset}-{blob.size - 1}"
        async with asyncio.timeout(stall) as patience:

            async def body() -> AsyncIterator[bytes]:
                at = offset
                while at < blob.size:
                    data = await asyncio.to_thread(os.pread, fd, min(_READ, blob.size - at), at)
                    if not data:
                        raise Unavailable(f"blob {blob.digest} is cut off here", step="push")
                    yield data
                    at += len(data)
                    report(at)
                    patience.reschedule(loop.time() + stall)

            assert self._endpoint is not None
            response = await self._connection.send(self._endpoint, "PATCH", where, headers, body)
            with closing(response):
                if response.status not in (201, 202, 204):
                    raise await self._problem(response, f"upload to {self._shown}")
                return response.headers.get("Location", "") or where

    async def _put(self, blob: Descriptor, where: str) -> None:
        parts = urlsplit(where)
        query = f"{parts.query}&" if parts.query else ""
        url = urlunsplit(parts._replace(query=f"{query}digest={quote(str(blob.digest))}"))
        assert self._endpoint is not None
        headers = _OCTETS | {"Content-Length": "0"}
        response = await self._connection.send(self._endpoint, "PUT", url, headers, lambda: b"")
        with closing(response):
            if response.status not in (201, 204):
                raise await self._problem(response, f"upload to {self._shown}")

    async def _resume(self, where: str, offset: int) -> tuple[str, int]:
        """How far an upload is; a new one where the registry has forgotten it."""
        if not where or self._endpoint is None:
            return "", 0
        try:
            with closing(await self._connection.send(self._endpoint, "GET", where, {})) as response:
                if response.status != 204:
                    return "", 0
                last = response.headers.get("Range", "").rpartition("-")[2]
                place = response.headers.get("Location", "") or where
                done = int(last) + 1 if last.isdigit() and last != "0" else 0
                return place, done
        except (*_BROKEN, CortenError):
            return where, offset

    # manifests -------------------------------------------------------------------------
    async def manifest(self, name: str, described: Descriptor, data: bytes) -> None:
        """Put a manifest under a tag or digest."""
        budget = Budget(self._settings.attempts)
        headers = {"Content-Type": described.media_type}
        while True:
            assert self._endpoint is not None
            url = f"{self._endpoint.base}/v2/{self._connection.path}/manifests/{name}"
            try:
                response = await self._connection.send(
                    self._endpoint, "PUT", url, headers, lambda: data
                )
                with closing(response):
                    if response.status in (200, 201, 202):
                        return
                    raise await self._problem(response, f"manifest for {self._shown}:{name}")
            except _Transient as failure:
                await self._wait(budget, failure, 0)
            except _BROKEN as error:
                problem = problems.from_exception(error, self._host())
                await self._wait(budget, _Transient(problem), 0)

    # failures --------------------------------------------------------------------------
    def _host(self) -> str:
        return self._connection.origins[-1].host

    async def _problem(self, response: aiohttp.ClientResponse, what: str) -> Exception:
        try:
            body = await response.content.read(problems.BODY_LIMIT)
        except _BROKEN:
            body = b""
        error = problems.from_status(
            response.status,
            body,
            str(response.url),
            what=what,
            authenticated=self._connection.authenticated,
            step="push",
        )
        if response.status not in TRANSIENT:
            return error
        return _Transient(error, retry_after(response.headers.get("Retry-After", ""), time.time()))

    async def _wait(self, budget: Budget, failure: _Transient, offset: int) -> None:
        pause = budget.failed(offset, failure.asked)
        if pause is None:
            raise failure.error from None
        await asyncio.sleep(pause)
