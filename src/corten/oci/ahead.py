"""Giving a plan to the init that was started ahead of it (:mod:`corten.oci.begin`)."""

from __future__ import annotations

import posix

from corten.cgroups.detect import hierarchies
from corten.errors import Internal
from corten.kernel import namespaces, netlink, rights
from corten.oci.channel import Channel
from corten.oci.failure import attempt
from corten.oci.lifecycle import Created, abort, accompany, died, namespaces_to_join
from corten.spec import transfer
from corten.spec._struct import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cgroups.base import Cgroup
    from corten.oci.begin import Early
    from corten.oci.planned import Plan


# What init would need a millisecond for while we have nothing to do. The rest it makes itself.
_MADE = ("network", "ipc", "uts")
PACKET = 32768  # bytes of the plan in one packet; several fit into the socket's buffer


def fits(plan: Plan, preserve_fds: int) -> bool:
    """Whether this init can become the plan's: with a new PID and a new mount namespace, and
    nothing that has to be done with the host's rights before init is born."""
    linux = plan.config.linux
    for kind in ("pid", "mount"):
        entry = linux.namespace(kind)
        if entry is None or entry.path:
            return False
    if linux.namespace("user") is not None or linux.namespace("time") is not None:
        return False
    if any([getattr(step, "idmap", None) is not None for step in plan.steps]):
        return False  # its user namespace is made by a fork
    return preserve_fds == 0


def starts_at_once(plan: Plan) -> bool:
    """Whether nobody wants to do anything between init's being ready and its program."""
    seccomp = plan.process.seccomp
    return not plan.config.hooks and (seccomp is None or not seccomp.listener_path)


def create(
    early: Early,
    plan: Plan,
    *,
    console: bool = False,
    cgroup: Cgroup | None = None,
    listen_fd: int = -1,
    at_once: bool = False,
) -> Created:
    """As :func:`corten.oci.container.create`, by the init that is there already.

    Arguments:
        at_once: init executes the program as soon as it is ready; :func:`executed` takes the
            place of ``start``. Only where it :func:`starts_at_once`.
    """
    created = Created(plan, pid=early.pid, pidfd=early.pidfd, start_fd=early.socket, cgroup=cgroup)
    channel = Channel(early.socket)
    try:
        _hand_over(channel, created, console, listen_fd, at_once)
        if not at_once:
            accompany(created, channel, console)
    except BaseException:
        channel.detach()
        abort(created)
        raise
    channel.detach()
    return created


def executed(created: Created) -> None:
    """Wait until a program that starts at once was executed.

    Raises:
        CortenError: as ``container.create`` and ``container.start``.
    """
    channel = Channel(created.start_fd)
    created.start_fd = -1
    try:
        accompany(created, channel, console=False)
        if channel.receive(descriptors=False) is not None:
            raise Internal("init says more than it was to", step="start")
    finally:
        channel.close()


def _hand_over(
    channel: Channel, created: Created, console: bool, listen_fd: int, at_once: bool
) -> None:
    plan, cgroup = created.plan, created.cgroup
    opened: list[int] = []
    try:
        join = namespaces_to_join(plan, {}, opened)
        join |= attempt("make namespaces", _make_namespaces, plan, join, opened)
        groups = cgroup.join_files() if cgroup is not None else []
        opened += groups
        fds = [*join.values(), *groups, *([] if listen_fd < 0 else [listen_fd])]
        wires = {
            "console": console,
            "console_size": plan.process.process.console_size,
            "at_once": at_once,
            "join": tuple(join),
            "groups": len(groups),
            "hierarchies": hierarchies() if cgroup is not None else None,
            "listen": listen_fd >= 0,
        }
        # what only the parent reads stays here
        none: tuple[str, ...] = ()
        linux = replace(
            plan.config.linux, seccomp=None, resources=None, masked_paths=none, readonly_paths=none
        )
        # the plan has the same more than once
        config = replace(plan.config, linux=linux, process=None)
        process = replace(plan.process, process=replace(plan.process.process, capabilities=None))
        own = replace(plan, config=config, process=process, resources={})
        document = transfer.dumps((own, wires))
        channel.write(str(len(document)).encode())
        for start in range(0, len(document), PACKET):
            channel.write(document[start : start + PACKET])
        if fds:
            rights.send(channel.fileno(), b"descriptors", fds)
    except (BrokenPipeError, ConnectionResetError):
        raise died(created) from None
    finally:
        for fd in opened:
            posix.close(fd)


def _make_namespaces(plan: Plan, join: dict[str, int], opened: list[int]) -> dict[str, int]:
    """Make the new namespaces for init and come back; their descriptors by type.

    Arguments:
        join: those that are there already.
        opened: collects what is to be closed.
    Raises:
        OSError: no namespace is to be had.
    """
    linux = plan.config.linux
    kinds = [kind for kind in _MADE if linux.namespace(kind) is not None and kind not in join]
    if not kinds:
        return {}
    own = [_opened(kind, opened) for kind in kinds]
    flags = [namespaces.KINDS[kind][0] for kind in kinds]
    namespaces.unshare(sum(flags))
    try:
        if "network" in kinds:
            netlink.set_link_up()
        return {kind: _opened(kind, opened) for kind in kinds}
    finally:
        for fd, flag in zip(own, flags, strict=True):
            _return(fd, flag)


def _opened(kind: str, opened: list[int]) -> int:
    fd = namespaces.open_namespace(kind)
    opened.append(fd)
    return fd


def _return(fd: int, flag: int) -> None:
    try:
        namespaces.setns(fd, flag)
    except OSError as error:
        # whatever followed would be done in the container's
        raise RuntimeError(f"no way back from the new namespaces: {error}") from error
