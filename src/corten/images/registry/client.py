"""Manifests and blobs of one repository, verified; retries and resumption."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import aiohttp
from yarl import URL

from corten.errors import CortenError, DataLoss, InvalidArgument, Unavailable
from corten.images.content import Ingest
from corten.images.registry import problems
from corten.images.registry.connection import Connection
from corten.images.registry.hosts import Endpoint
from corten.images.registry.meter import Meter
from corten.images.registry.retries import TRANSIENT, Budget, retry_after
from corten.images.settings import Settings
from corten.images.types import Progress, ProgressSink
from corten.spec import descriptor, jsonlite
from corten.spec import digest as digests
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import MANIFEST_LIMIT

ACCEPT = ", ".join(
    (
        descriptor.OCI_INDEX,
        descriptor.DOCKER_LIST,
        descriptor.OCI_MANIFEST,
        descriptor.DOCKER_MANIFEST,
        descriptor.DOCKER_SCHEMA1_SIGNED + ";q=0.1",
        "*/*;q=0.1",
    )
)
_BROKEN = (aiohttp.ClientError, TimeoutError, OSError)
_TAGS = 1000  # a page
_TAGS_LIMIT = 100_000
_WRITE = 1 << 18  # bytes handed to the disk at once


class _Transient(Exception):
    """A failure after which another attempt may work.

    Arguments:
        error: what to raise when it does not.
        asked: seconds that the server wants us to wait.
        connected: whether anybody answered at all.
    """

    def __init__(
        self, error: CortenError, asked: float | None = None, *, connected: bool = True
    ) -> None:
        super().__init__(error.message)
        self.error = error
        self.asked = asked
        self.connected = connected


class Repository:
    """One repository of one registry, for one pull."""

    def __init__(self, connection: Connection, settings: Settings, shown: str) -> None:
        """Arguments:
        shown: the repository's name for messages.
        """
        self._connection = connection
        self._settings = settings
        self._shown = shown

    # manifests -------------------------------------------------------------------------
    async def head(self, tag_or_digest: str | Digest) -> Descriptor | None:
        """What there is, without fetching it; None where the registry does not tell."""
        path = f"manifests/{tag_or_digest}"
        try:
            with closing(await self._open("HEAD", path, {"Accept": ACCEPT})) as response:
                if response.status != 200:
                    return None
                text = response.headers.get("Docker-Content-Digest", "")
                size = int(response.headers.get("Content-Length", "0"))
                found = digests.parse(text, field="Docker-Content-Digest")
                return Descriptor(media_type=_media_type(response), digest=found, size=size)
        except (CortenError, _Transient, ValueError):
            return None

    async def manifest(self, tag_or_digest: str | Digest) -> tuple[Descriptor, bytes]:
        """A manifest or index, verified against its digest where that is known.

        Raises:
            NotFound, Unauthenticated, PermissionDenied, Unavailable, DataLoss.
        """
        budget = Budget(self._settings.attempts)
        while True:
            try:
                return await self._manifest(tag_or_digest)
            except _Transient as failure:
                if not failure.connected:  # a wrong name or a dead registry is told at once
                    raise failure.error from None
                await self._wait(budget, failure, 0)

    async def _manifest(self, wanted: str | Digest) -> tuple[Descriptor, bytes]:
        by_digest = isinstance(wanted, Digest)
        what = f"{self._shown}{'@' if by_digest else ':'}{wanted}"
        path = f"manifests/{wanted}"
        with closing(await self._open("GET", path, {"Accept": ACCEPT})) as response:
            if response.status != 200:
                raise await self._problem(response, f"manifest for {what}")
            body = await self._body(response, MANIFEST_LIMIT, what)
            promised = response.headers.get("Docker-Content-Digest", "")
            media_type = _media_type(response)
        digest = wanted if isinstance(wanted, Digest) else _promised(promised)
        algorithm = "sha256" if digest is None else digest.algorithm
        actual = hashlib.new(algorithm, body).hexdigest()
        if digest is not None and actual != digest.hex:
            raise DataLoss(
                f"the manifest for {what} is {algorithm}:{actual}, not {digest}",
                step="verify manifest",
                hint="the registry or something on the way to it changed the content",
            )
        found = Digest(algorithm=algorithm, hex=actual)
        return Descriptor(media_type=media_type, digest=found, size=len(body)), body

    async def _body(self, response: aiohttp.ClientResponse, limit: int, what: str) -> bytes:
        body = bytearray()
        try:
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > limit:
                    raise InvalidArgument(f"the manifest for {what} has more than {limit} bytes")
        except _BROKEN as error:
            raise _Transient(problems.from_exception(error, _host(response))) from None
        return bytes(body)

    async def tags(self) -> list[str]:
        """All tags, page by page.

        Raises:
            NotFound, Unauthenticated, PermissionDenied, Unavailable.
        """
        found: list[str] = []
        path = f"tags/list?n={_TAGS}"
        while path:
            with closing(await self._open("GET", path, {})) as response:
                if response.status != 200:
                    raise await self._problem(response, f"tags of {self._shown}")
                body = await self._body(response, MANIFEST_LIMIT, self._shown)
                document: Any = jsonlite.loads(body, what="the registry's list of tags")
                following = response.links["next"]["url"] if "next" in response.links else None
            names = document.get("tags") if isinstance(document, dict) else None
            found += [str(name) for name in names or ()]
            if len(found) > _TAGS_LIMIT:
                raise InvalidArgument(f"{self._shown} has more than {_TAGS_LIMIT} tags")
            path = "" if following is None else f"tags/list?{URL(str(following)).query_string}"
        return found

    # blobs -----------------------------------------------------------------------------
    async def blob(
        self,
        wanted: Descriptor,
        ingest: Ingest,
        grown: Callable[[], None],
        report: ProgressSink,
    ) -> None:
        """Write a blob into ``ingest``, going on where a broken transfer ended.

        Arguments:
            grown: called when more of it is in the file.
        """
        budget = Budget(self._settings.attempts)
        meter = Meter(wanted.digest.short, wanted.size, report)
        while True:
            try:
                await self._blob(wanted, ingest, grown, meter)
                return
            except _Transient as failure:
                report(Progress(id=wanted.digest.short, status="Retrying", current=ingest.offset))
                await self._wait(budget, failure, ingest.offset)

    async def _blob(
        self, wanted: Descriptor, ingest: Ingest, grown: Callable[[], None], meter: Meter
    ) -> None:
        headers: dict[str, str] = {}
        if 0 < ingest.offset < wanted.size:
            headers["Range"] = f"bytes={ingest.offset}-{wanted.size - 1}"
        elif ingest.offset:
            ingest.restart()
        path = f"blobs/{wanted.digest}"
        with closing(await self._open("GET", path, headers, downgrade=True)) as response:
            goes_on = response.status == 206 and _continues(response, ingest.offset)
            if response.status == 416 or (response.status == 206 and not goes_on):
                ingest.restart()
                raise _Transient(Unavailable("the registry can't go on where it was"))
            if response.status not in (200, 206):
                raise await self._problem(response, f"blob {wanted.digest} of {self._shown}")
            if not goes_on:
                ingest.restart()
            _check_length(response, wanted, ingest.offset)
            await self._copy(response, ingest, grown, meter)
        if ingest.offset < wanted.size:
            raise _Transient(
                Unavailable(
                    f"the transfer of {wanted.digest} ended after {ingest.offset} bytes "
                    f"of {wanted.size}",
                    step="pull layer",
                    hint="try again",
                )
            )

    async def _copy(
        self,
        response: aiohttp.ClientResponse,
        ingest: Ingest,
        grown: Callable[[], None],
        meter: Meter,
    ) -> None:
        buffer = bytearray()
        meter.begin(self._settings.stall_seconds, self._settings.least_bytes_per_second)
        try:
            async for chunk in response.content.iter_any():
                buffer += chunk
                if meter.too_slow(len(chunk)):
                    raise TimeoutError
                if len(buffer) >= _WRITE:
                    # not twice, where it fails: the second error would hide the first
                    data, buffer = bytes(buffer), bytearray()
                    await ingest.write(data)
                    grown()
                    meter.show(ingest.offset)
        except _BROKEN as error:
            raise _Transient(problems.from_exception(error, _host(response))) from None
        finally:
            if buffer:  # what came before a cut counts
                await ingest.write(bytes(buffer))
                grown()
        meter.show(ingest.offset, last=True)

    # attempts --------------------------------------------------------------------------
    async def _open(
        self, method: str, path: str, headers: dict[str, str], *, downgrade: bool = False
    ) -> aiohttp.ClientResponse:
        """The first endpoint that answers: mirrors, then the registry itself."""
        connection = self._connection
        for endpoint in connection.mirrors:
            try:
                response = await connection.request(
                    endpoint, method, path, headers, downgrade=downgrade
                )
            except (*_BROKEN, CortenError):
                continue
            if response.status in (200, 206):
                return response
            response.close()
        origins = connection.origins
        failures: list[BaseException] = []
        for endpoint in origins:
            try:
                response = await connection.request(
                    endpoint, method, path, headers, downgrade=downgrade
                )
            except _BROKEN as error:
                failures.append(error)
                continue
            connection.settle(endpoint)
            return response
        raise self._unreachable(origins, failures)

    def _unreachable(
        self, origins: tuple[Endpoint, ...], failures: list[BaseException]
    ) -> _Transient:
        """Where plain HTTP was tried after TLS, the first failure tells most, unless it only says
        that no TLS is spoken there."""
        spoke_no_tls = isinstance(failures[0], aiohttp.ClientConnectorSSLError)
        error = failures[-1] if spoke_no_tls else failures[0]
        refused = isinstance(error, aiohttp.ClientConnectorError)
        return _Transient(problems.from_exception(error, origins[-1].host), connected=not refused)

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
        )
        if response.status not in TRANSIENT:
            return error
        asked = retry_after(response.headers.get("Retry-After", ""), time.time())
        return _Transient(error, asked)

    async def _wait(self, budget: Budget, failure: _Transient, offset: int) -> None:
        pause = budget.failed(offset, failure.asked)
        if pause is None:
            raise failure.error from None
        await asyncio.sleep(pause)


def _media_type(response: aiohttp.ClientResponse) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip()


def _promised(text: str) -> Digest | None:
    try:
        return digests.parse(text)
    except InvalidArgument:
        return None


def _host(response: aiohttp.ClientResponse) -> str:
    return response.url.authority.rpartition("@")[2]


def _continues(response: aiohttp.ClientResponse, offset: int) -> bool:
    """Whether a 206 really begins where we asked it to (RFC 9110, 14.4)."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    return unit == "bytes" and rest.partition("-")[0] == str(offset)


def _check_length(response: aiohttp.ClientResponse, wanted: Descriptor, offset: int) -> None:
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and offset + int(length) != wanted.size:
        raise DataLoss(
            f"the registry has {offset + int(length)} bytes of {wanted.digest}, "
            f"the manifest says {wanted.size}",
            step="verify blob",
        )
