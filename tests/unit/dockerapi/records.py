"""Records for the tests."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import yaml

from corten.engine.types import Container, ContainerConfig, Image, State

STANDARD = Path(__file__).parents[4] / "shared" / "spec" / "docker-engine-v1.55.yaml"
ID = "ab" * 32
IMAGE_ID = "sha256:" + "cd" * 32
SECOND = 10**9
MADE = 1_700_000_000 * SECOND


@functools.cache
def standard() -> dict[str, Any]:
    """The Docker Engine API as its owners describe it; skips where it is not at hand."""
    if not STANDARD.exists():
        pytest.skip(f"not here: {STANDARD}")
    found: dict[str, Any] = yaml.safe_load(STANDARD.read_text())
    return found


def container(
    *, status: str = "running", config: dict[str, Any] | None = None, **fields: Any
) -> Container:
    """A container as the engine would have it."""
    settings = ContainerConfig(**{"image": "redis:7", "cmd": ("serve",), **(config or {})})
    state = {
        "status": status,
        "pid": 42 if status in ("running", "paused") else 0,
        "started_at": MADE + SECOND,
        "finished_at": MADE + 61 * SECOND if status == "exited" else 0,
        **fields.pop("state", {}),
    }
    given = {
        "id": ID,
        "tenant": "docker",
        "name": "db",
        "image_ref": "docker.io/library/redis:7",
        "image_id": IMAGE_ID,
        "created_at": MADE,
        "path": "serve",
        "args": ("--port", "1 2"),
        "snapshotter": "overlay",
        **fields,
    }
    return Container(config=settings, state=State(**state), **given)


def image(**fields: Any) -> Image:
    """An image as the engine would have it."""
    given = {
        "id": IMAGE_ID,
        "tags": ("docker.io/library/redis:7",),
        "digests": ("docker.io/library/redis@sha256:" + "ef" * 32,),
        "created_at": MADE,
        "size": 1234,
        "architecture": "amd64",
        "config": {
            "created": "2023-11-14T22:13:20Z",
            "config": {"Env": ["PATH=/bin", "A=image"], "Cmd": ["redis"], "Labels": {"l": "image"}},
        },
        "layers": ("sha256:" + "12" * 32,),
        **fields,
    }
    return Image(**given)
