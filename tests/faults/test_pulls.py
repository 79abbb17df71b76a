"""Pulls that are interrupted, by the daemon's death or by a registry's faults: an image is
there with all of its bytes or not at all, a retry goes on, nothing is left over."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from corten.cri.pb import cri_pb2 as pb
from corten.errors import CortenError
from corten.spec import descriptor
from corten.testing.registry import Fault
from tests.faults.machine import BUSYBOX, Machine, attempt
from tests.faults.registry import Registry, add_image, registry
from tests.faults.sample import sampled
from tests.support import eventually


class Impatient(Machine):
    """A machine whose pulls give up soon."""

    def __init__(self) -> None:
        super().__init__()
        settings = "[images]\nstall_seconds = 1.0\nattempts = 2\n"
        self.config.write_text(self.config.read_text() + settings)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Impatient()
    try:
        yield made.set_up()
    finally:
        made.close()


@pytest.fixture
def served(calm: Machine) -> Iterator[Registry]:
    with registry(calm) as found:
        yield found
        refs = [f"{found.address}/{name}:latest" for name in ("image", "bad")]
    if calm.alive:
        with calm.client() as client:
            for ref in refs:
                if client.images.exists(ref):
                    client.images.remove(ref)


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


class Failure(NamedTuple):
    """What a registry does, and what the error must say."""

    fault: Fault
    code: str
    says: str


FAILURES = {
    "cut": Failure(Fault(kind="cut", after=10, times=100), "unavailable", "middle of an answer"),
    "stalls": Failure(Fault(kind="stall", after=10, times=100), "unavailable", "in time"),
    "stalls at once": Failure(
        Fault(kind="stall", path="/manifests/", times=100), "unavailable", "in time"
    ),
    "wrong digest": Failure(Fault(kind="corrupt", times=100), "data_loss", "sha256:"),
    "broken": Failure(Fault(kind="status", status=500, times=100), "unavailable", "500"),
    "gone": Failure(
        Fault(kind="status", status=404, path="/manifests/", times=100), "not_found", "image"
    ),
    "forbidden": Failure(
        Fault(kind="status", status=403, path="/v2/", times=100), "not_found", "denied"
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_registry_that_fails(calm: Machine, served: Registry, name: str) -> None:
    """The error names the registry and what it did; a retry when it is well again works."""
    failure = FAILURES[name]
    ref = add_image(served, "image")
    served.faults.append(failure.fault)
    error = attempt(lambda: pull(calm, ref))
    assert isinstance(error, CortenError)
    assert error.code == failure.code, repr(error)
    assert failure.says in str(error) and error.hint, repr(error)
    with calm.client() as client:
        assert not client.images.exists(ref)
    served.faults.clear()
    whole_or_absent(calm, ref)


def test_a_fault_that_passes(calm: Machine, served: Registry) -> None:
    ref = add_image(served, "image")
    served.faults.append(Fault(kind="cut", after=10))
    pull(calm, ref)
    whole_or_absent(calm, ref)


def archive(name: str) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as layer:
        entry = tarfile.TarInfo(name)
        entry.size = 3000
        layer.addfile(entry, io.BytesIO(bytes(3000)))
    return raw.getvalue()


def _truncated(served: Registry) -> None:
    served.add("bad:latest", [archive("file"), archive("file")[:2000]])


def _hostile(served: Registry) -> None:
    served.add("bad:latest", [archive("file"), archive("../../../evil")])


def _malformed_config(served: Registry) -> None:
    served.add("bad:latest", [archive("file")], config={"config": {"Env": 5}})


def _malformed_manifest(served: Registry) -> None:
    served.tag("bad:latest", served.document({"schemaVersion": 2}, descriptor.OCI_MANIFEST))


def _no_archive(served: Registry) -> None:
    served.add("bad:latest", [b"no archive" * 1000], layer_type=descriptor.OCI_LAYER_GZIP)


BAD_IMAGES: dict[str, tuple[Callable[[Registry], None], str]] = {
    "truncated layer": (_truncated, "cut off"),
    "hostile layer": (_hostile, "leads out"),
    "malformed config": (_malformed_config, "config.config.Env"),
    "malformed manifest": (_malformed_manifest, "manifest"),
    "no archive": (_no_archive, "archive is damaged"),
}


@pytest.mark.parametrize("client", ["corten", "docker", "cri"])
@pytest.mark.parametrize("name", BAD_IMAGES)
def test_an_image_that_is_bad(calm: Machine, served: Registry, name: str, client: str) -> None:
    """Every face says what is wrong with what, and nothing of it is left."""
    make, says = BAD_IMAGES[name]
    make(served)
    ref = f"{served.address}/bad:latest"
    if client == "cri":
        with calm.cri() as cri:
            request = pb.PullImageRequest(image=pb.ImageSpec(image=ref))
            error = attempt(lambda: cri.PullImage(request))
        said = str(error) if error is not None else ""
    else:
        done = getattr(calm, client)("pull", ref, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == 1, said
    assert says in said and "bad:latest" in said, said
    assert "Traceback" not in said and "internal error" not in said.lower(), said
    with calm.client() as shown:
        assert not shown.images.exists(ref)


def gone(machine: Machine, ref: str) -> None:
    """A client that asks for an image and goes away."""
    with machine.client() as client:
        client.connection.begin("pull_image", tenant="docker", ref=ref)


def test_a_client_goes_away(calm: Machine, served: Registry) -> None:
    """Who asks for the same meanwhile joins the pull that goes on."""
    ref = add_image(served, "image")
    served.faults.append(Fault(kind="stall", path=served.first_layer, after=100))
    gone(calm, ref)
    eventually(lambda: not served.faults, what="a blob is on its way")
    pull(calm, ref)
    blobs = [path for _, path, headers in served.requests if "/blobs/" in path]
    # The one that stalled was continued, nothing was fetched twice.
    assert len(blobs) == len(set(blobs)) + 1 == 4, blobs
    whole_or_absent(calm, ref)


def test_the_only_client_goes_away(calm: Machine, served: Registry) -> None:
    ref = add_image(served, "image")
    gone(calm, ref)
    with calm.client() as client:
        eventually(lambda: client.images.exists(ref), what="it is pulled")
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
