"""Network namespaces pinned below the state directory, for CNI plugins.

A plugin that was given ``/proc/PID/ns/net`` would work on a stranger's namespace once the
number is used again; a bind mount keeps both the namespace and its name. It is one of the
two mounts of ours that the host sees; the owner is on record before it exists.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Collection

from corten.kernel import mounts

_PREFIX = "cni-"


def new_path(directory: str) -> str:
    """A name that nobody had yet."""
    return os.path.join(directory, f"{_PREFIX}{uuid.uuid4()}")


def pin(path: str, netns_fd: int) -> None:
    """Bind a namespace to a path.

    Raises:
        OSError: nothing is left then.
    """
    os.makedirs(os.path.dirname(path), mode=0o711, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o444))
    try:
        mounts.mount(f"/proc/self/fd/{netns_fd}", path, "", mounts.MS_BIND)
    except OSError:
        os.unlink(path)
        raise


def is_pinned(path: str) -> bool:
    """Whether a namespace is still mounted there (after a reboot only the file may be)."""
    try:
        return os.stat(path).st_dev != os.stat(os.path.dirname(path)).st_dev
    except OSError:
        return False


def unpin(path: str) -> None:
    """Unmount, as often as it is mounted, and remove the file; idempotent."""
    while True:
        try:
            mounts.umount2(path, mounts.MNT_DETACH)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):  # no mount there, no such file
                raise
            break
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def sweep(directory: str, keep: Collection[str]) -> None:
    """Remove every pin that is not to be kept."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return
    for name in names:
        path = os.path.join(directory, name)
        if name.startswith(_PREFIX) and path not in keep:
            unpin(path)
