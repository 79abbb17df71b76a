"""Pulls that are interrupted, by the daemon's death or by a registry's faults: an image is
there with all of its bytes or not at all, a retry goes on, nothing is left over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from corten.errors import CortenError
from corten.testing.registry import Fault
from tests.faults.machine import BUSYBOX, Machine, attempt
from tests.faults.registry import Registry, add_image, registry
from tests.faults.sample import sampled
from tests.support import eventually


@pytest.fixture
def served(calm: Machine) -> Iterator[Registry]:
    with registry(calm) as found:
        yield found


def pull(machine: Machine, ref: str) -> None:
    with machine.client() as client:
        client.images.pull(ref)


def whole_or_absent(machine: Machine, ref: str) -> None:
    """What is shown can be used; a retry makes it so; then it goes without a trace."""
    with machine.client() as client:
        if client.images.exists(ref):
            assert client.containers.run(ref, [BUSYBOX, "true"]).code == 0
        client.images.pull(ref)
        done = client.containers.run(ref, [BUSYBOX, "cat", "/data/1/7"])
        assert done.stdout == b"\7" * 1000
        client.images.remove(ref)


_POINTS = [f"{when} {number}" for number in range(1, 7) for when in ("before", "after")]


@pytest.mark.parametrize("order", sampled(_POINTS, 3))
def test_the_daemon_is_killed_at_a_commit(calm: Machine, served: Registry, order: str) -> None:
    ref = add_image(served, "image")
    calm.crash_at(order)
    attempt(lambda: pull(calm, ref))
    calm.crash_nowhere()
    calm.revive()
    whole_or_absent(calm, ref)


@pytest.mark.parametrize("after", [0, 100, 500_000])
def test_the_daemon_is_killed_while_a_layer_comes(
    calm: Machine, served: Registry, after: int
) -> None:
    ref = add_image(served, "image")
    served.faults.append(Fault(kind="stall", path=served.first_layer, after=after))
    with calm.client() as client:
        client.connection.begin("pull_image", tenant="docker", ref=ref)
        eventually(lambda: not served.faults, what="a blob is on its way")
        calm.kill()
    calm.start()
    with calm.client() as client:
        assert not client.images.exists(ref)
    whole_or_absent(calm, ref)


FAULTS = [
    Fault(kind="cut", after=10, times=2),
    Fault(kind="corrupt", times=100),
    Fault(kind="status", status=500, times=100),
    Fault(kind="status", status=404, path="/manifests/", times=100),
    Fault(kind="status", status=403, path="/v2/", times=100),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.status}")
def test_a_registry_that_fails(calm: Machine, served: Registry, fault: Fault) -> None:
    ref = add_image(served, "image")
    served.faults.append(fault)
    error = attempt(lambda: pull(calm, ref))
    with calm.client() as client:
        if error is not None:
            assert isinstance(error, CortenError)
            assert error.code not in ("internal", "invalid_argument"), repr(error)
            assert not client.images.exists(ref)
    served.faults.clear()
    whole_or_absent(calm, ref)


def test_a_registry_that_is_not_there(calm: Machine) -> None:
    error = attempt(lambda: pull(calm, "127.0.0.1:1/image"))
    assert isinstance(error, CortenError)
    assert error.code == "unavailable"
    assert "127.0.0.1:1" in str(error)
    assert error.hint


def test_a_tag_that_is_not_there(calm: Machine, served: Registry) -> None:
    add_image(served, "image")
    error = attempt(lambda: pull(calm, f"{served.address}/image:other"))
    assert isinstance(error, CortenError)
    assert error.code == "not_found"
