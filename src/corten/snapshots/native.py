"""The ``native`` snapshotter: each writable state is a copy (a reflink where there are such).

For stores that lie where overlayfs can't be mounted: on another overlay, inside a container.
"""

from __future__ import annotations

import os

from corten.snapshots.directories import DirectorySnapshotter
from corten.snapshots.merge import Merger
from corten.spec.mount import Mount


class NativeSnapshotter(DirectorySnapshotter):
    """Layers keep whiteouts as plain ``.wh.`` files."""

    name = "native"
    stands_on_layers = False

    def _fill(self, directory: str, below: list[str]) -> None:
        root = f"{directory}/fs"
        os.mkdir(root)
        os.chmod(root, 0o755)  # noqa: S103  # a container's root directory
        merger = Merger(root)
        try:
            for layer in reversed(below):
                merger.add(layer)
        finally:
            merger.close()

    def _mounts(self, directory: str, below: list[str]) -> tuple[Mount, ...]:
        return (Mount(type="bind", source=f"{directory}/fs", options=("rbind", "rw")),)
