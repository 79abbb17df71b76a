"""The ``overlay`` snapshotter: overlayfs over a directory per layer."""

from __future__ import annotations

import os

from corten.snapshots.directories import DirectorySnapshotter
from corten.spec.mount import Mount


class OverlaySnapshotter(DirectorySnapshotter):
    """Layers hold overlayfs's whiteouts (a device 0/0) and ``trusted.overlay.opaque``."""

    name = "overlay"

    def _fill(self, directory: str, below: list[str]) -> None:
        upper = f"{directory}/fs"
        os.mkdir(upper)
        os.mkdir(f"{directory}/work", 0o700)
        if below:
            # The root directory that is seen is the upper one: it takes after the image's.
            stat = os.stat(below[0])
            os.chown(upper, stat.st_uid, stat.st_gid)
            os.chmod(upper, stat.st_mode & 0o7777)
        else:
            os.chmod(upper, 0o755)  # noqa: S103  # a container's root directory

    def _mounts(self, directory: str, below: list[str]) -> tuple[Mount, ...]:
        upper = f"{directory}/fs"
        if not below:
            return (Mount(type="bind", source=upper, options=("rbind", "rw")),)
        options = (
            f"lowerdir={':'.join(below)}",
            f"upperdir={upper}",
            f"workdir={directory}/work",
        )
        return (Mount(type="overlay", source="overlay", options=options),)
