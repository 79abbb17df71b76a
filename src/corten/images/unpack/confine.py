"""What a program that reads hostile bytes gives up first.

Afterwards its root directory is the one it unpacks into, on a mount without devices, set-id
programs or execution; it has no network; and of the capabilities those that make files.
"""

from __future__ import annotations

import os
import resource
from errno import EPERM
from signal import SIGKILL

from corten.kernel import creds, mounts, namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Owners, modes, devices and file capabilities are what a layer carries.
_KEEP: Final = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_MKNOD",
    "CAP_SETFCAP",
)
_MEMORY = 2 << 30  # bytes of address space: a zstd window is 128 MB at most
PRIVATE = (
    namespaces.CLONE_NEWNS
    | namespaces.CLONE_NEWNET
    | namespaces.CLONE_NEWIPC
    | namespaces.CLONE_NEWUTS
)


def die_with_parent(parent: int) -> None:
    """Nobody would use the result of a worker whose daemon is gone."""
    creds.set_pdeathsig(SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(1)


def enter(path: str) -> bool:
    """Make ``path`` the root directory of this process, alone in its namespaces.

    Returns:
        False where the kernel does not let us (not root): the caller goes on with descriptors.
    """
    try:
        namespaces.unshare(PRIVATE)
    except OSError as error:
        if error.errno == EPERM:
            return False
        raise
    mounts.mount("", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
    mounts.mount(path, path, "", mounts.MS_BIND)
    flags = mounts.MS_NODEV | mounts.MS_NOSUID | mounts.MS_NOEXEC
    mounts.mount("", path, "", mounts.MS_REMOUNT | mounts.MS_BIND | flags)
    os.chdir(path)
    mounts.pivot_root(".", ".")
    mounts.umount2(".", mounts.MNT_DETACH)
    os.chdir("/")
    return True


def drop_privileges(*more: str) -> None:
    """Keep what files need, and the capabilities ``more``, for good."""
    keep = {creds.CAPABILITY_NUMBERS[name] for name in (*_KEEP, *more)}
    effective, permitted, _ = creds.capget()
    if effective & 1 << creds.CAPABILITY_NUMBERS["CAP_SETPCAP"]:
        for number in range(len(creds.CAPABILITIES)):
            if number not in keep and _in_bounding_set(number):
                creds.bounding_drop(number)
    mask = sum([1 << number for number in keep]) & permitted
    creds.capset(mask, mask, 0)
    creds.set_no_new_privs()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = _MEMORY if hard == resource.RLIM_INFINITY else min(hard, _MEMORY)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _in_bounding_set(number: int) -> bool:
    try:
        return creds.bounding_has(number)
    except OSError:  # an older kernel doesn't know it
        return False
