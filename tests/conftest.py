"""Fixtures of every suite."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from corten.kernel.process import default_signal
from tests.harness import Daemon

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def pytest_configure(config: pytest.Config) -> None:
    # As from a terminal, also where a shell started the suite as a background job: what the
    # tests start would inherit that SIGINT and SIGQUIT are ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored under nohup
    for number in (32, 33):  # a parent that used posix_spawn leaves one of them ignored
        default_signal(number)
    # How long an example takes is the machine's affair; the same ones each time but in soak.
    settings.register_profile(
        "corten", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow],
        derandomize=not os.environ.get("CORTEN_SOAK"),
    )  # fmt: skip
    settings.load_profile("corten")
    config.addinivalue_line("markers", "soak: long; run by `make soak`, never in CI")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("CORTEN_SOAK"):
        return
    skip = pytest.mark.skip(reason="soak only: make soak")
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def seed() -> int:
    """Fixed in CI, random in soak, printed either way."""
    value = int(os.environ.get("CORTEN_SEED") or 20261124)
    if os.environ.get("CORTEN_SOAK") and "CORTEN_SEED" not in os.environ:
        value = random.SystemRandom().randrange(1 << 32)
    print(f"seed {value}")
    return value


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """A daemon shared by a module's tests; everything is checked for leaks at the end."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    server = Daemon().start()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def own_daemon() -> Iterator[Daemon]:
    """A daemon of one test's own, not started yet."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    server = Daemon()
    try:
        yield server
    finally:
        server.close()
