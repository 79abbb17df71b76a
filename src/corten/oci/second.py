"""The container's init, when it was started before its parent knew what it would be
(:mod:`corten.oci.begin`). It runs from the overlay that keeps the interpreter out of reach, and
imports all it may need before it looks at anything of the container's."""

from __future__ import annotations

import posix
import sys

# the records that a plan consists of
import corten.oci.cgroupmount
import corten.oci.devices
import corten.oci.identity
import corten.oci.masks
import corten.oci.mounts
import corten.oci.planned
import corten.oci.rootfs
import corten.oci.seccomp.program
import corten.oci.sysctl
import corten.spec.records  # noqa: F401
from corten.cgroups.detect import remember
from corten.errors import CortenError, Internal
from corten.kernel import creds, namespaces, rights
from corten.kernel.seccomp import FLAG_NEW_LISTENER
from corten.oci.channel import Channel
from corten.oci.context import Context
from corten.oci.failure import attempt, failed
from corten.oci.init import Wiring, enter_namespaces, run_init, settle
from corten.spec import transfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from corten.oci.planned import Plan

# The rest was made before or has an order of its own.
_JOINED = ("network", "ipc", "uts", "cgroup")


def main() -> NoReturn:
    """Become the init that the parent describes; the last arguments are its socket and the
    host's mount namespace."""
    sock, host = int(sys.argv[5]), int(sys.argv[6])
    creds.set_dumpable(False)
    posix.set_inheritable(sock, False)  # the exec closes it, which is how the parent hears of it
    channel = Channel(sock)
    try:
        # the container's mounts are a clone of the host's, without the overlay
        attempt("enter the host's mounts", namespaces.setns, host, namespaces.CLONE_NEWNS)
        posix.close(host)
        attempt("make mount namespace", namespaces.unshare, namespaces.CLONE_NEWNS)
        received = _receive(channel)
        if received is None:
            posix._exit(1)
        plan, wiring = received[0], _wiring(channel, *received[1:])
        _prepare(plan, wiring)
    except CortenError as error:
        channel.send_error(error)
        posix._exit(1)
    except OSError as error:
        channel.send_error(failed("init", error))
        posix._exit(1)
    except BaseException as error:  # whatever it is, the parent must hear of it
        channel.send_error(Internal(f"{type(error).__name__}: {error}", step="init"))
        posix._exit(1)
    run_init(plan, wiring, Context(plan.rootfs), awaited=False)


def _receive(channel: Channel) -> tuple[Plan, dict[str, Any], list[int]] | None:
    """Plan, wiring and descriptors as ``ahead`` sends them; None: the parent has gone."""
    size = int(channel.read() or b"0")
    document = b""
    while len(document) < size:
        piece = channel.read()
        if not piece:
            break
        document += piece
    if not size or len(document) < size:
        return None
    plan, wires = transfer.loads(document)
    wanted = len(wires["join"]) + wires["groups"] + wires["listen"]
    fds = rights.receive(channel.fileno())[1] if wanted else []
    # without them we would be in the host's namespaces: the parent was killed in between
    return (plan, wires, fds) if len(fds) == wanted else None


def _wiring(channel: Channel, wires: dict[str, Any], fds: list[int]) -> Wiring:
    wiring = Wiring(channel, channel)
    wiring.console = wires["console"]
    wiring.console_size = wires["console_size"]
    wiring.at_once = wires["at_once"]
    wiring.join = dict(zip(wires["join"], fds, strict=False))
    if wires["hierarchies"] is not None:
        remember(wires["hierarchies"])
    wiring.listen = fds[-1] if wires["listen"] else -1
    first = len(wires["join"])
    wiring.join_files = fds[first : first + wires["groups"]]
    return wiring


def _prepare(plan: Plan, wiring: Wiring) -> None:
    """Everything that ``spawn`` does for an init that is forked."""
    seccomp = plan.process.seccomp
    if wiring.console or (seccomp is not None and seccomp.flags & FLAG_NEW_LISTENER):
        import corten.kernel.sockets
        import corten.oci.console
    if any(["tmpcopyup" in mount.options for mount in plan.config.mounts]):
        import corten.oci.copyup
    if plan.process.process.reaper:
        import corten.kernel._fork
        import corten.oci.reaper
    if plan.config.hooks:
        import fcntl  # noqa: F401  # seals what a hook reads

        import corten.oci.hooks
        import corten.oci.state  # noqa: F401
    # from now on the file system is the container's: nothing of it may be imported
    sys.meta_path.clear()
    sys.path.clear()
    settle(wiring)
    enter_namespaces(wiring.join, _JOINED)
    for fd in wiring.join.values():
        posix.close(fd)
