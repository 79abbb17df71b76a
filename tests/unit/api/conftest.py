"""A server of the native protocol with an engine that is made up, and raw connections to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from corten.api.server import Server, serve
from tests.unit.api.fake_engine import FakeEngine
from tests.unit.api.raw import Raw


@pytest.fixture
async def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def server(engine: Any, tmp_path: Path) -> AsyncIterator[Server]:
    made = await serve(engine, tmp_path / "corten.sock")
    yield made
    await made.close()


@pytest.fixture
async def raw(server: Server, tmp_path: Path) -> AsyncIterator[Raw]:
    connection = await Raw.connect(tmp_path / "corten.sock")
    yield connection
    connection.close()
    await asyncio.sleep(0)
