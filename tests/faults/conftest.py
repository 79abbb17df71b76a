"""The machine of these tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cri.conftest import PLUGINS
from tests.faults.machine import Machine


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine shared by a module's tests: each leaves it settled."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if not Path(PLUGINS, "bridge").exists():
        pytest.skip("needs containernetworking-plugins")
    made = Machine()
    try:
        yield made.set_up()
    finally:
        made.close()


@pytest.fixture
def calm(machine: Machine) -> Iterator[Machine]:
    """The machine; when the test is over everything is removed, and nothing may be left."""
    try:
        yield machine
    finally:
        machine.crash_nowhere()
        if not machine.alive:
            machine.start()
        machine.remove_all()
    machine.settled()
