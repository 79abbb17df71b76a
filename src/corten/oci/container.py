"""From a plan to a running container, and its other processes. Synchronous, no threads.

All of it may be called in a warm process that was forked and can't import any more.
The caller's namespaces and cgroup are as they were when a function returns.
"""

from __future__ import annotations

import posix

import corten.kernel._fork
import corten.oci.console
import corten.oci.copyup
import corten.oci.hooks
import corten.oci.reaper
import corten.oci.state  # noqa: F401  # as those above: for functions that import them late
from corten.errors import CortenError, FailedPrecondition
from corten.kernel.process import pidfd_open, pidfd_send_signal
from corten.oci.channel import Channel, channel_pair
from corten.oci.init import Wiring
from corten.oci.join import Target, join
from corten.oci.lifecycle import (
    Created,
    abort,
    accompany,
    discard,
    leave_waiting,
    namespaces_to_join,
    order_start,
    run_poststart_hooks,
    run_poststop_hooks,
    start,
    start_over,
    starts_barely,
)
from corten.oci.listener import hand_over
from corten.oci.plan import compile_process
from corten.oci.seccomp.program import DEFAULT_DIRECTORY
from corten.oci.spawn import spawn
from corten.oci.state import state_of
from corten.spec._struct import Struct, replace
from corten.spec.runtime import parse_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from corten.cgroups.base import Cgroup
    from corten.oci.planned import Plan, ProcessPlan

    Stdio = tuple[int, int, int]


class Started(Struct):
    """An additional process that runs (its program was executed). The caller owns the
    descriptors and reaps the process: it is the caller's child."""

    pid: int
    pidfd: int
    console_fd: int = -1


def create(
    plan: Plan,
    *,
    stdio: Stdio | None = None,
    console: bool = False,
    console_size: tuple[int, int] | None = None,
    cgroup: Cgroup | None = None,
    ns_fds: dict[str, int] | None = None,
    preserve_fds: int = 0,
    listen_fd: int = -1,
    alone: bool = False,
    on_step: Callable[[str, int], None] | None = None,
) -> Created:
    """Make the container up to the point where only its program is missing.

    createRuntime, prestart and createContainer hooks have run. On an error nothing of the
    container is left but the cgroup, which the caller made; init has been reaped.

    Arguments:
        stdio: descriptors that become 0, 1, 2; None: the caller's own.
        console: give init a pseudoterminal of the container's own devpts as 0, 1, 2 and
            its controlling terminal; ``stdio`` is then not used.
        console_size: rows and columns; None takes the configuration's.
        cgroup: a cgroup that exists and has its limits; init joins it before anything else.
        ns_fds: descriptors of namespaces to join, by type as the specification names them
            (``network``, ``pid`` …); they take precedence over paths in the config.
        preserve_fds: that many descriptors from 3 on stay open in the program.
        listen_fd: a listening SOCK_SEQPACKET socket; after :func:`leave_waiting` init waits
            there for :func:`start_by_socket`.
        alone: init closes every other descriptor of the caller's at its birth, not at its end.
        on_step: called with each step's name and microseconds, when all is done.
    Raises:
        ProgramNotFound, ProgramNotExecutable: the program, looked up inside the container.
        CortenError: with step, path and errno of what failed, in parent or child.
    """
    wiring = Wiring(*channel_pair())
    wiring.stdio = None if console else stdio
    wiring.console = console
    wiring.console_size = console_size or plan.process.process.console_size
    wiring.preserve = preserve_fds
    wiring.listen = listen_fd
    if alone:
        wiring.keep = [plan.options.host_mount_ns]
    opened: list[int] = []
    try:
        wiring.join = namespaces_to_join(plan, ns_fds or {}, opened)
        wiring.join_files = cgroup.join_files() if cgroup is not None else []
        opened += wiring.join_files
        cgroup_fd = cgroup.dir_fd() if cgroup is not None and not wiring.join_files else -1
        if cgroup_fd >= 0:
            opened.append(cgroup_fd)
        pid, pidfd = spawn(plan, wiring, cgroup_fd=cgroup_fd)
    except BaseException:
        wiring.ours.close()
        raise
    finally:
        wiring.channel.close()
        for fd in opened:
            posix.close(fd)
    created = Created(plan, pid=pid, pidfd=pidfd, start_fd=wiring.ours.fileno(), cgroup=cgroup)
    try:
        accompany(created, wiring.ours, console)
    except BaseException:
        wiring.ours.detach()
        abort(created)
        raise
    wiring.ours.detach()
    if on_step is not None:
        for name, microseconds in created.steps:
            on_step(name, microseconds)
    return created


def exec_process(
    plan: ProcessPlan | None,
    process: dict[str, Any],
    *,
    pid: int,
    pidfd: int = -1,
    stdio: Stdio | None = None,
    console: bool = False,
    console_size: tuple[int, int] | None = None,
    cgroup: Cgroup | None = None,
    preserve_fds: int = 0,
    alone: bool = False,
    state: dict[str, Any] | None = None,
) -> Started:
    """Run another process in a container: joins all namespaces of ``pid``, executes, returns
    when the program was executed.

    Arguments:
        plan: the one of the container's init, for its seccomp filter, and its capabilities
            where the process names none; None: without either.
        process: a ``process`` object of the specification.
        pid: init's process id.
        pidfd: init's, so that a reused number is never joined; -1: opened here.
        stdio, console, console_size, preserve_fds, alone: as in :func:`create`.
        cgroup: the container's.
        state: the container's (:func:`state_of`), for who listens to its filter's notifications.
    Raises:
        FailedPrecondition: init has ended.
        ProgramNotFound, ProgramNotExecutable: the program, looked up inside the container.
        CortenError: with step, path and errno of what failed.
    """
    compiled = _compile_exec(plan, process)
    wiring = Wiring(*channel_pair())
    wiring.stdio = None if console else stdio
    wiring.console = console
    wiring.console_size = console_size or compiled.process.console_size
    wiring.preserve = preserve_fds
    target = _target(pid, pidfd)
    if alone:
        wiring.keep = [target.pidfd, target.root]
    cgroup_fd = -1
    try:
        wiring.join_files = cgroup.join_files() if cgroup is not None else []
        if cgroup is not None and not wiring.join_files:
            cgroup_fd = cgroup.dir_fd(beside=pid)
        join(compiled, wiring, target, cgroup_fd=cgroup_fd)
        return _await_exec(wiring.ours, compiled, state or {})
    finally:
        target.close()
        wiring.channel.close()
        wiring.ours.close()
        for fd in (*wiring.join_files, cgroup_fd):
            if fd >= 0:
                posix.close(fd)


def _compile_exec(plan: ProcessPlan | None, process: dict[str, Any]) -> ProcessPlan:
    parsed = parse_process(process)
    if plan is None:
        return compile_process(parsed, None, DEFAULT_DIRECTORY)
    if parsed.capabilities is None:
        parsed = replace(parsed, capabilities=plan.process.capabilities)
    compiled = compile_process(parsed, None, DEFAULT_DIRECTORY)
    return replace(compiled, seccomp=plan.seccomp, memory=plan.memory, personality=plan.personality)


def _target(pid: int, pidfd: int) -> Target:
    """The init to join, proven to be the one of the pidfd."""
    own = pidfd
    try:
        if own < 0:
            own = pidfd_open(pid)
        target = Target(pid, own)
        # still there after its files in /proc were opened: they are its own
        pidfd_send_signal(own, 0)
        return target
    except ProcessLookupError:
        raise FailedPrecondition("the container's process has ended", step=f"join {pid}") from None
    finally:
        if own != pidfd:
            posix.close(own)


def _await_exec(channel: Channel, plan: ProcessPlan, state: dict[str, Any]) -> Started:
    """Collect the process, its terminal and the success or the error of its exec; pass its
    filter's notifications on."""
    child = (-1, -1)
    console_fd = -1
    try:
        while (answer := channel.receive()) is not None:
            message, fds = answer
            if message["kind"] == "child":
                child = int(message["pid"]), fds[0]
            elif message["kind"] == "console":
                console_fd = fds[0]
            elif message["kind"] == "listener":
                hand_over(plan.seccomp, fds[0], state, child[0])
    except CortenError:
        discard(child[1], console_fd)
        raise
    if child[0] < 0:
        text = "the process was killed while it joined"
        raise FailedPrecondition(text, step="exec", hint="try again")
    return Started(pid=child[0], pidfd=child[1], console_fd=console_fd)


state = state_of

__all__ = [
    "Created",
    "Started",
    "abort",
    "create",
    "exec_process",
    "leave_waiting",
    "order_start",
    "run_poststart_hooks",
    "run_poststop_hooks",
    "start",
    "start_over",
    "starts_barely",
    "state",
]
