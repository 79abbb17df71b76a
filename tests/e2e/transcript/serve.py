"""The transcript's images for Corten: a registry on the loopback that knows just these two."""

from __future__ import annotations

import gzip
import hashlib
import json
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.e2e.transcript import box

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@contextmanager
def images() -> Iterator[dict[str, str]]:
    """Serve them; gives the names that ``{box}`` and the like stand for."""
    contents: dict[str, bytes] = {}
    tags = {
        "boximage": _image(contents, {}),
        "entryimage": _image(contents, box.ENTRY),
        "volumesimage": _image(contents, box.VOLUMES, data=True),
    }

    class Handler(_Handler):
        blobs = contents
        names = tags

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    where = f"127.0.0.1:{server.server_port}"
    try:
        yield {name: f"{where}/{name}image" for name in ("box", "entry", "volumes")}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _image(contents: dict[str, bytes], settings: dict[str, Any], *, data: bool = False) -> str:
    archive = box.root_file_system(data=data)
    layer = gzip.compress(archive, compresslevel=1, mtime=0)
    config = {
        "architecture": _ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [_digest(archive)]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _descriptor(contents, _CONFIG, json.dumps(config).encode()),
        "layers": [_descriptor(contents, _LAYER, layer)],
    }
    return str(_descriptor(contents, _MANIFEST, json.dumps(manifest).encode())["digest"])


def _descriptor(contents: dict[str, bytes], kind: str, data: bytes) -> dict[str, Any]:
    contents[_digest(data)] = data
    return {"mediaType": kind, "digest": _digest(data), "size": len(data)}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class _Handler(BaseHTTPRequestHandler):
    """The reading half of the distribution specification."""

    protocol_version = "HTTP/1.1"
    blobs: dict[str, bytes]
    names: dict[str, str]

    def do_GET(self) -> None:
        parts = self.path.strip("/").split("/")  # v2/NAME/(manifests|blobs)/REFERENCE
        if parts == ["v2"]:
            self._answer(200, "application/json", b"{}", "")
            return
        reference = parts[-1]
        wanted = self.names.get(parts[1], "") if reference == "latest" else reference
        data = self.blobs.get(wanted)
        if data is None:
            self._answer(404, "application/json", b'{"errors":[{"code":"NAME_UNKNOWN"}]}', "")
            return
        kind = _MANIFEST if parts[2] == "manifests" else "application/octet-stream"
        self._answer(200, kind, data, wanted)

    do_HEAD = do_GET

    def _answer(self, status: int, kind: str, data: bytes, digest: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests say what goes wrong."""
