"""Debian's docker-registry on a loopback port, and images pushed to it by skopeo."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zstandard

from tests.support import eventually

PROGRAM = "/usr/bin/docker-registry"
USER, PASSWORD = "u", "geheim"
# bcrypt of PASSWORD: the registry accepts nothing else.
_HTPASSWD = f"{USER}:$2b$04$BfxpZklkztHWdeRzYxFk2eymzxLUjSC6oQzO5oJk/uXi0QvI/R7y.\n"


def free_port() -> int:
    """Not of those that the kernel chooses from: one of them might be somebody's connection, also
    that of who looks whether it answers, before the registry has it."""
    numbers = list(range(20_000, 30_000))
    random.shuffle(numbers)
    for port in numbers:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                continue
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


class RealRegistry:
    """One running registry."""

    def __init__(self, base: Path, *, auth: str = "", tls: tuple[Path, Path] | None = None) -> None:
        """Arguments:
        auth: ``""``, ``basic``, or the YAML of another kind.
        tls: certificate and key.
        """
        self.base = base
        self.address = f"127.0.0.1:{free_port()}"
        self._tls = tls
        config = base / "config.yml"
        config.write_text(self._config(auth))
        with (base / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "serve", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        eventually(self._answers, what=f"registry at {self.address}")

    def _config(self, auth: str) -> str:
        lines = [
            "version: 0.1",
            "log: {level: error, accesslog: {disabled: true}}",
            f"storage: {{filesystem: {{rootdirectory: {self.base}/data}}}}",
        ]
        http = f"addr: {self.address}"
        if self._tls:
            http += f", tls: {{certificate: {self._tls[0]}, key: {self._tls[1]}}}"
        lines.append(f"http: {{{http}}}")
        if auth == "basic":
            (self.base / "htpasswd").write_text(_HTPASSWD)
            auth = f"auth: {{htpasswd: {{realm: test, path: {self.base}/htpasswd}}}}"
        return "\n".join([*lines, auth]) + "\n"

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError((self.base / "log").read_text())
        host, _, port = self.address.partition(":")
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)

    # pushing ---------------------------------------------------------------------------
    def push(self, layout: Path, name: str, *options: str, credentials: bool = False) -> str:
        """Copy the image of an OCI layout; its full name."""
        if credentials:
            options = (*options, f"--dest-creds={USER}:{PASSWORD}")
        command = ["skopeo", "copy", "-q", "--dest-tls-verify=false", *options]
        with tempfile.TemporaryDirectory() as home:
            subprocess.run(
                [*command, f"oci:{layout}:it", f"docker://{self.address}/{name}"],
                check=True,
                env=os.environ | {"HOME": home},
            )
        return f"{self.address}/{name}"

    def manifest(self, name: str) -> dict[str, Any]:
        """What the registry has under ``REPOSITORY:TAG``."""
        repository, _, tag = name.rpartition(":")
        accept = (
            "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
        )
        request = urllib.request.Request(
            f"http://{self.address}/v2/{repository}/manifests/{tag}", headers={"Accept": accept}
        )
        with urllib.request.urlopen(request) as response:
            document: dict[str, Any] = json.load(response)
            return document


class Layout:
    """An OCI image layout that is written by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (self.path / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def image(
        self, layers: Sequence[bytes], *, architecture: str = "amd64", zstd: bool = False
    ) -> dict[str, Any]:
        """One manifest; layers as they are, or packed by zstd."""
        kind = "application/vnd.oci.image"
        suffix = "+zstd" if zstd else ""
        packed = [zstandard.compress(layer) for layer in layers] if zstd else layers
        config = {
            "os": "linux",
            "architecture": architecture,
            "config": {"Cmd": ["sh"], "Env": ["A=b"]},
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers],
            },
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{kind}.manifest.v1+json",
            "config": self.blob(json.dumps(config).encode(), f"{kind}.config.v1+json"),
            "layers": [self.blob(layer, f"{kind}.layer.v1.tar{suffix}") for layer in packed],
        }
        return self.blob(json.dumps(manifest).encode(), f"{kind}.manifest.v1+json")

    def index(self, manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """An index by architecture."""
        kind = "application/vnd.oci.image.index.v1+json"
        entries = [
            one | {"platform": {"os": "linux", "architecture": architecture}}
            for architecture, one in manifests.items()
        ]
        document = {"schemaVersion": 2, "mediaType": kind, "manifests": entries}
        return self.blob(json.dumps(document).encode(), kind)

    def name(self, target: dict[str, Any]) -> Path:
        """Make ``it`` the name of a manifest or index."""
        entry = target | {"annotations": {"org.opencontainers.image.ref.name": "it"}}
        (self.path / "index.json").write_text(
            json.dumps({"schemaVersion": 2, "manifests": [entry]})
        )
        return self.path
