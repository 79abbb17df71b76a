"""A program that finds out by doing whether overlayfs works on a file system.

It mounts in a mount namespace of its own, so nothing of it is seen or left behind but a
directory, which its caller removes. Exit status 0: it works; else standard output says why not.
"""

from __future__ import annotations

import os
import sys

from corten.kernel import mounts, namespaces


def check(base: str) -> None:
    """Layers, a whiteout, an opaque directory, a write: what containers need.

    Raises:
        OSError: what does not work.
    """
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mounts.mount("", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
    for name in ("low", "low/opaque", "high", "high/opaque", "up", "work", "merged"):
        os.mkdir(f"{base}/{name}")
    for name in ("low/hidden", "low/opaque/hidden", "low/seen"):
        os.close(os.open(f"{base}/{name}", os.O_CREAT | os.O_WRONLY, 0o600))
    os.mknod(f"{base}/high/hidden", 0o020000, 0)
    os.setxattr(f"{base}/high/opaque", "trusted.overlay.opaque", b"y")
    os.chdir(base)  # the baseline: short relative names
    mounts.mount("overlay", "merged", "overlay", 0, "lowerdir=high:low,upperdir=up,workdir=work")
    if sorted(os.listdir("merged")) != ["opaque", "seen"] or os.listdir("merged/opaque"):
        raise OSError(0, "whiteouts have no effect")
    os.close(os.open("merged/new", os.O_CREAT | os.O_WRONLY, 0o600))
    os.unlink("merged/seen")


def main() -> None:
    """Entry point of the program; its argument is an empty directory."""
    try:
        check(sys.argv[1])
    except OSError as error:
        os.write(1, str(error).encode())
        raise SystemExit(1) from None
