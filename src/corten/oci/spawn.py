"""Cloning init into its namespaces: at once where that is possible, else by a helper.

The helper is needed where something has to be done with the host's rights before init is
born (a user namespace), or to the namespace that it is born into (a joined PID namespace, a
time namespace with offsets). It ends as soon as init is there, and init, cloned with
CLONE_PARENT, is the caller's child all the same. The caller itself never changes a namespace.
"""

from __future__ import annotations

import posix

from corten.errors import CortenError, FailedPrecondition, Internal
from corten.kernel import namespaces
from corten.kernel.files import write_proc
from corten.kernel.process import CLONE_PARENT, clone3, wait_pidfd
from corten.oci.context import Context
from corten.oci.failure import attempt, failed
from corten.oci.init import enter_namespaces, prepare_root, run_init, settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from corten.oci.init import Wiring
    from corten.oci.planned import Plan
    from corten.spec.records import IdMapping, Linux, TimeOffset

# Made by clone3; mount, cgroup and time have an order of their own.
_CLONED = ("pid", "network", "ipc", "uts")
# Entered before the user namespace, with the host's rights.
_JOINED = ("mount", "network", "ipc", "uts", "cgroup", "time")


def spawn(plan: Plan, wiring: Wiring, *, cgroup_fd: int = -1) -> tuple[int, int]:
    """Start init; ``(pid, pidfd)``, the child of the caller.

    Arguments:
        cgroup_fd: directory of the v2 cgroup to be born in, or -1.
    Raises:
        CortenError: what the helper met.
    """
    linux = plan.config.linux
    new = _new_flags(linux, wiring.join)
    if not _needs_helper(linux, wiring.join):
        pid, pidfd = attempt("clone init", _clone, new, cgroup_fd)
        if pid == 0:
            _be_init(plan, wiring)
        return pid, pidfd
    pid, pidfd = attempt("clone helper", _clone, 0, cgroup_fd)
    if pid == 0:
        _be_helper(plan, wiring, new)
    wiring.channel.close()
    try:
        init = _receive_init(wiring)
    finally:
        wait_pidfd(pidfd)
        posix.close(pidfd)
    if linux.namespace("user") is not None and "user" not in wiring.join:
        attempt("map ids", _map_ids, init[0], linux)
    # init waits for it, so that nothing it says comes before the helper has said who it is
    wiring.ours.send("mapped")
    return init


def _clone(flags: int, cgroup_fd: int) -> tuple[int, int]:
    return clone3(flags, cgroup_fd=cgroup_fd)


def _new_flags(linux: Linux, join: dict[str, int]) -> int:
    """What clone3 makes for init."""
    flags = 0
    for kind in _CLONED:
        if linux.namespace(kind) is not None and kind not in join:
            flags |= namespaces.KINDS[kind][0]
    if linux.namespace("user") is not None:
        # a mount namespace that the user namespace owns, whatever was prepared before
        if "user" not in join:
            flags |= namespaces.CLONE_NEWUSER
        if "mount" not in join:
            flags |= namespaces.CLONE_NEWNS
    return flags


def _needs_helper(linux: Linux, join: dict[str, int]) -> bool:
    if linux.namespace("user") is not None or "pid" in join:
        return True
    return linux.namespace("time") is not None and "time" not in join


def _be_init(plan: Plan, wiring: Wiring) -> NoReturn:
    """In the child, without a helper."""
    context = Context(plan.rootfs)
    try:
        settle(wiring)
        _enter_mounts(plan, wiring)
        enter_namespaces(wiring.join, _JOINED[1:])
    except CortenError as error:
        wiring.channel.send_error(error)
        posix._exit(1)
    except OSError as error:
        wiring.channel.send_error(failed("init", error))
        posix._exit(1)
    run_init(plan, wiring, context, awaited=False)


def _enter_mounts(plan: Plan, wiring: Wiring) -> None:
    """Into a clone of the host's mount namespace, or the one to join."""
    if "mount" in wiring.join:
        enter_namespaces(wiring.join, ("mount",))
        return
    host = plan.options.host_mount_ns
    if host >= 0:
        attempt("enter the host's mounts", namespaces.setns, host, namespaces.CLONE_NEWNS)
    if plan.config.shares_mounts:
        return
    attempt("make mount namespace", namespaces.unshare, namespaces.CLONE_NEWNS)


def _be_helper(plan: Plan, wiring: Wiring, flags: int) -> NoReturn:
    """In the helper: prepare, clone init, say its number, end."""
    channel = wiring.channel
    linux = plan.config.linux
    user = linux.namespace("user") is not None
    context = Context(plan.rootfs, in_user_namespace=user)
    pid = -1
    try:
        settle(wiring)
        wiring.stdio = None
        _enter_mounts(plan, wiring)
        if user:
            prepare_root(plan, context)
            # by descriptor: mapped ids may not be allowed to walk the path
            posix.chdir(context.rootfs)
            context.rootfs = "."
        enter_namespaces(wiring.join, (*_JOINED[1:], "pid", "user"))
        if linux.namespace("time") is not None and "time" not in wiring.join:
            attempt("make time namespace", _make_time, linux.time_offsets)
        pid, pidfd = attempt("clone init", _clone, flags | CLONE_PARENT, -1)
        if pid:
            channel.send("child", pidfd, pid=pid)
    except CortenError as error:
        channel.send_error(error)
    except OSError as error:
        channel.send_error(failed("prepare namespaces", error))
    except BaseException as error:  # whatever it is, the parent must hear of it
        channel.send_error(Internal(f"{type(error).__name__}: {error}", step="helper"))
    if pid:
        posix._exit(0)
    run_init(plan, wiring, context, awaited=True)


def _make_time(offsets: tuple[TimeOffset, ...]) -> None:
    """A time namespace for our children; its clocks can be set while nobody is in it."""
    namespaces.unshare(namespaces.CLONE_NEWTIME)
    for offset in offsets:
        line = f"{offset.clock} {offset.secs} {offset.nanosecs}\n"
        write_proc("/proc/self/timens_offsets", line.encode())


def _receive_init(wiring: Wiring) -> tuple[int, int]:
    answer = wiring.ours.receive()
    if answer is None:
        raise FailedPrecondition("the helper was killed", step="clone init")
    message, fds = answer
    return int(message["pid"]), fds[0]


def _map_ids(pid: int, linux: Linux) -> None:
    write_proc(f"/proc/{pid}/uid_map", _map_text(linux.uid_mappings))
    write_proc(f"/proc/{pid}/gid_map", _map_text(linux.gid_mappings))


def _map_text(mappings: tuple[IdMapping, ...]) -> bytes:
    lines = [f"{m.container_id} {m.host_id} {m.size}\n" for m in mappings]
    return "".join(lines).encode()
