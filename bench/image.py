"""One small image, made once, that every peer pulls from a registry on loopback."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
APPLETS = ("sh", "true", "sleep", "cat", "echo", "yes", "head", "seq", "dd", "tr", "httpd")
REGISTRY = "127.0.0.1:5555"
NAME = f"{REGISTRY}/bench:latest"
PAUSE = f"{REGISTRY}/pause:latest"  # containerd holds a pod's namespaces by a process


def layer() -> bytes:
    """An uncompressed tar with a static busybox."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for directory in ("bin", "etc", "proc", "sys", "dev", "tmp", "root"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        add(tar, "bin/busybox", BUSYBOX.read_bytes(), 0o755)
        for name in APPLETS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        add(tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644)
        add(tar, "etc/group", b"root:x:0:\n", 0o644)
    return buffer.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    tar.addfile(entry, io.BytesIO(data))


def write_layout(directory: Path, command: list[str]) -> None:
    """An OCI image layout with an image that runs ``command``, for skopeo."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    raw = layer()
    prefix = "application/vnd.oci.image"
    blob = put(gzip.compress(raw, mtime=0), f"{prefix}.layer.v1.tar+gzip")
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": command},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(raw).hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{prefix}.manifest.v1+json",
        "config": put(json.dumps(config).encode(), f"{prefix}.config.v1+json"),
        "layers": [blob],
    }
    entry = put(json.dumps(manifest).encode(), f"{prefix}.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def write_rootfs(directory: Path) -> None:
    """The same files as a plain directory, for bundles."""
    directory.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(layer())) as tar:
        tar.extractall(directory)  # our own archive, made above


def push(layout: Path, name: str) -> None:
    """Bring the image of a layout into the registry."""
    subprocess.run(
        ["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false",
         f"oci:{layout}:latest", f"docker://{name}"],
        check=True,
    )  # fmt: skip
