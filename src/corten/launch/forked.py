"""What a fork of the launcher does first, to become a monitor: everything that was the
launcher's is let go of."""

from __future__ import annotations

import _signal  # `signal` imports enum
import os

from corten.kernel import mounts as k
from corten.kernel.creds import set_name
from corten.kernel.namespaces import CLONE_NEWNS, setns, unshare
from corten.kernel.process import close_range

IGNORED = (
    _signal.SIGHUP,
    _signal.SIGINT,
    _signal.SIGQUIT,
    _signal.SIGUSR1,
    _signal.SIGUSR2,
    _signal.SIGPIPE,
    _signal.SIGTERM,
)


def ignore_signals() -> None:
    """A monitor ends with its container, the launcher with its daemon: else only SIGKILL ends
    them, and SIGTERM, of which a monitor makes an end of its container (``children``)."""
    for number in IGNORED:
        _signal.signal(number, _signal.SIG_IGN)


def become_monitor(name: str, keep: list[int], host_mount_ns: int) -> None:
    """Detach this process from the launcher; it lives in the host's mount namespace.

    Arguments:
        name: for ``ps``.
        keep: descriptors that stay, besides 0 to 2.
        host_mount_ns: the host's.
    """
    os.setsid()
    set_name(name)
    setns(host_mount_ns, CLONE_NEWNS)
    keep_only([0, 1, 2, *keep])
    os.chdir("/")


def own_mounts() -> None:
    """A mount namespace for one who will mount something; nobody else gets one, its end costs
    more than a millisecond (an RCU grace period)."""
    unshare(CLONE_NEWNS)
    # What the host mounts and unmounts later is seen, what is mounted here is not seen there.
    k.mount("", "/", "", k.MS_REC | k.MS_SLAVE)
    os.chdir("/")


def keep_only(fds: list[int]) -> None:
    """Close every descriptor but these."""
    first = 0
    for fd in sorted(set(fds)):
        if fd < 0:
            continue
        if fd > first:
            close_range(first, fd - 1)
        first = fd + 1
    close_range(first)
