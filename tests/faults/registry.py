"""A registry that misbehaves, in the machine's network namespace."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from corten.kernel.namespaces import CLONE_NEWNET, setns
from corten.spec import descriptor
from corten.testing.registry import FakeRegistry
from tests.faults.machine import BUSYBOX, Machine


class Registry(FakeRegistry):
    """Serves at ``address``, as the daemon sees it; faults may be added at any time.

    Attributes:
        first_layer: digest of the lowest layer of the image that was added last.
    """

    first_layer = ""


@contextmanager
def registry(machine: Machine) -> Iterator[Registry]:
    """One that serves."""
    served = Registry()
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        async with served:
            ready.set()
            while not done.is_set():
                await asyncio.sleep(0.01)

    def inside() -> None:
        with Path(machine.netns).open() as namespace:
            setns(namespace.fileno(), CLONE_NEWNET)
        asyncio.run(serve())

    thread = threading.Thread(target=inside)
    thread.start()
    try:
        assert ready.wait(10)
        yield served
    finally:
        done.set()
        thread.join()


def add_image(served: Registry, name: str, *, layers: int = 2) -> str:
    """An image of busybox (its first layer) and some files; returns what to pull."""
    packed, ids = [], []
    for number in range(layers):
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as archive:
            if number == 0:
                archive.add(Path(BUSYBOX).resolve(), "bin/busybox")
            # No layer is there already, whatever another test has left.
            mark = tarfile.TarInfo(f"mark/{served.address}")
            archive.addfile(mark)
            for one in range(50):
                entry = tarfile.TarInfo(f"data/{number}/{one}")
                entry.size = 1000
                archive.addfile(entry, io.BytesIO(bytes([one]) * 1000))
        ids.append(f"sha256:{hashlib.sha256(raw.getvalue()).hexdigest()}")
        packed.append(gzip.compress(raw.getvalue(), 1))
    served.add(f"{name}:latest", packed, diff_ids=ids, layer_type=descriptor.OCI_LAYER_GZIP)
    # The address of the layer that is worth to be interrupted.
    served.first_layer = f"sha256:{hashlib.sha256(packed[0]).hexdigest()}"
    return f"{served.address}/{name}:latest"
