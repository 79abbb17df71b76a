"""An in-process registry that misbehaves on demand: for faults that a real one doesn't offer.

What it serves is put in by :meth:`FakeRegistry.add`; what goes wrong is a list of
:class:`Fault`, each used up by the requests it applies to. It speaks enough of the distribution
specification for a pull.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from corten.spec import descriptor
from corten.spec._struct import Struct
from corten.spec.descriptor import Descriptor
from corten.spec.digest import sha256


class Fault(Struct):
    """What goes wrong.

    Fields:
        kind: ``status`` (answer ``status`` with ``headers``), ``cut`` (break the connection after
            ``after`` bytes), ``stall`` (send ``after`` bytes, then nothing), ``trickle`` (a byte
            now and then), ``corrupt`` (change one byte), ``ignore-range`` (send all of it again),
            ``wrong-range`` (claim another range).
        path: part of the URL's path it applies to.
        times: requests that it applies to.
    """

    kind: str
    path: str = "/blobs/"
    times: int = 1
    status: int = 500
    after: int = 0
    headers: tuple[tuple[str, str], ...] = ()


class FakeRegistry:
    """Use as ``async with``; then ``address`` is ``127.0.0.1:PORT``."""

    def __init__(self, *, auth: str = "", user: str = "", password: str = "") -> None:
        """Arguments:
        auth: ``""``, ``basic`` or ``token``.
        user, password: what is right; with ``token`` and no user anybody gets a token.
        """
        self.address = ""
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.tokens_given = 0
        self.valid_token = "token-0"  # noqa: S105  # of a registry that lives for one test
        self.redirect_blobs_to = ""
        self._auth = auth
        self._user = user
        self._password = password
        self._blobs: dict[str, bytes] = {}
        self._types: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> FakeRegistry:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    # contents --------------------------------------------------------------------------
    def blob(self, data: bytes, media_type: str) -> Descriptor:
        """Serve ``data``; its descriptor."""
        made = sha256(hashlib.sha256(data).hexdigest())
        self._blobs[str(made)] = data
        self._types[str(made)] = media_type
        return Descriptor(media_type=media_type, digest=made, size=len(data))

    def document(self, value: Any, media_type: str) -> Descriptor:
        """Serve a JSON document."""
        return self.blob(json.dumps(value).encode(), media_type)

    def tag(self, name: str, target: Descriptor) -> None:
        """Let ``REPOSITORY:TAG`` point to a manifest."""
        self._tags[name] = str(target.digest)

    def replace(self, target: Descriptor, data: bytes) -> None:
        """Serve other bytes under a digest."""
        self._blobs[str(target.digest)] = data

    def add(
        self,
        name: str,
        layers: Sequence[bytes],
        *,
        diff_ids: Sequence[str] | None = None,
        config: dict[str, Any] | None = None,
        layer_type: str = descriptor.OCI_LAYER,
    ) -> Descriptor:
        """Serve an image of layers (packed as ``layer_type`` says) as ``REPOSITORY:TAG``."""
        ids = diff_ids or [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
        document = {
            "os": "linux",
            "architecture": "amd64",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": list(ids)},
        }
        described = self.document(document | (config or {}), descriptor.OCI_CONFIG)
        parts = [self.blob(layer, layer_type).to_document() for layer in layers]
        manifest = self.document(
            {
                "schemaVersion": 2,
                "mediaType": descriptor.OCI_MANIFEST,
                "config": described.to_document(),
                "layers": parts,
            },
            descriptor.OCI_MANIFEST,
        )
        self.tag(name, manifest)
        return manifest

    # answers ---------------------------------------------------------------------------
    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path, dict(request.headers)))
        if request.path == "/token":
            return self._token(request)
        fault = self._fault(request)
        if fault is not None and fault.kind == "status":
            return web.Response(status=fault.status, headers=dict(fault.headers), body=b"{}")
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        repository, _, rest = request.path.removeprefix("/v2/").rpartition("/blobs/")
        if repository:
            return await self._blob(request, rest, fault)
        if fault is not None and fault.kind == "stall":
            await asyncio.sleep(3600)
        repository, _, rest = request.path.removeprefix("/v2/").rpartition("/manifests/")
        digest = self._tags.get(f"{repository}:{rest}", rest)
        if digest not in self._blobs:
            body = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            return web.json_response(body, status=404)
        headers = {"Docker-Content-Digest": digest, "Content-Type": self._types[digest]}
        return web.Response(body=self._blobs[digest], headers=headers)

    def _fault(self, request: web.Request) -> Fault | None:
        for number, fault in enumerate(self.faults):
            if fault.path in request.path:
                values = {name: getattr(fault, name) for name in fault._fields}
                values["times"] = fault.times - 1
                self.faults[number : number + 1] = [Fault(**values)] if fault.times > 1 else []
                return fault
        return None

    async def _blob(
        self, request: web.Request, digest: str, fault: Fault | None
    ) -> web.StreamResponse:
        data = self._blobs.get(digest)
        if data is None:
            body = {"errors": [{"code": "BLOB_UNKNOWN", "message": "blob unknown"}]}
            return web.json_response(body, status=404)
        if self.redirect_blobs_to:
            place = f"{self.redirect_blobs_to}/v2/x/blobs/{digest}?X-Signature=secret"
            return web.Response(status=307, headers={"Location": place})
        kind = "" if fault is None else fault.kind
        if kind == "corrupt":
            data = data[:-1] + bytes([data[-1] ^ 1])
        start = 0
        wanted = request.headers.get("Range", "")
        if wanted and kind != "ignore-range":
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
        response = web.StreamResponse(status=206 if start else 200)
        response.content_length = len(data) - start
        if start:
            shown = start + 1 if kind == "wrong-range" else start
            response.headers["Content-Range"] = f"bytes {shown}-{len(data) - 1}/{len(data)}"
        await response.prepare(request)
        await self._send(request, response, data[start:], fault)
        return response

    async def _send(
        self, request: web.Request, response: web.StreamResponse, data: bytes, fault: Fault | None
    ) -> None:
        kind = "" if fault is None else fault.kind
        after = 0 if fault is None else fault.after
        if kind == "cut":
            await response.write(data[:after])
            if request.transport is not None:
                request.transport.close()
        elif kind == "stall":
            await response.write(data[:after])
            await asyncio.sleep(3600)
        elif kind == "trickle":
            for at in range(len(data)):
                await response.write(data[at : at + 1])
                await asyncio.sleep(0.05)
        else:
            await response.write(data)
            await response.write_eof()

    # authentication --------------------------------------------------------------------
    def _refusal(self, request: web.Request) -> web.Response | None:
        sent = request.headers.get("Authorization", "")
        if self._auth == "basic" and sent != self._basic():
            header = 'Basic realm="test"'
        elif self._auth == "token" and sent != f"Bearer {self.valid_token}":
            header = (
                f'Bearer realm="http://{self.address}/token",service="test",'
                'scope="repository:t/a:pull"'
            )
        else:
            return None
        body = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
        return web.json_response(body, status=401, headers={"WWW-Authenticate": header})

    def _basic(self) -> str:
        raw = f"{self._user}:{self._password}".encode()
        return "Basic " + base64.b64encode(raw).decode()

    def _token(self, request: web.Request) -> web.Response:
        if self._user and request.headers.get("Authorization") != self._basic():
            return web.json_response({"details": "incorrect username or password"}, status=401)
        self.tokens_given += 1
        self.valid_token = f"token-{self.tokens_given}"
        return web.json_response({"token": self.valid_token, "expires_in": 300})
