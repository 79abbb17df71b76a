"""From a plan to a running container, and its other processes. Synchronous, no threads.

All of it may be called in a warm process that was forked and can't import any more.
The caller's namespaces and cgroup are as they were when a function returns.
"""

from __future__ import annotations

from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from corten.cgroups.base import Cgroup
    from corten.oci.plan import Plan

    Stdio = tuple[int, int, int]


class Created:
    """A container whose init waits for :func:`start`. The caller owns the descriptors.

    Attributes:
        plan: what it was made from.
        pid: init's process id in the caller's PID namespace.
        pidfd: descriptor of init's process (readable when it has ended; ``waitid(P_PIDFD)``).
        start_fd: socket to init; closing it makes an init that still waits exit.
        console_fd: master of the pseudoterminal, -1 without one.
        cgroup: where init runs, or None.
        steps: what was done and the microseconds it took, parent's and child's.
    """

    __slots__ = ("cgroup", "console_fd", "pid", "pidfd", "plan", "start_fd", "steps")

    def __init__(
        self,
        plan: Plan,
        *,
        pid: int,
        pidfd: int,
        start_fd: int,
        console_fd: int = -1,
        cgroup: Cgroup | None = None,
        steps: list[tuple[str, int]] | None = None,
    ) -> None:
        self.plan = plan
        self.pid = pid
        self.pidfd = pidfd
        self.start_fd = start_fd
        self.console_fd = console_fd
        self.cgroup = cgroup
        self.steps = steps if steps is not None else []


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
    on_step: Callable[[str, int], None] | None = None,
) -> Created:
    """Make the container up to the point where only its program is missing.

    createRuntime, prestart and createContainer hooks have run. On an error nothing of the
    container is left but the cgroup, which the caller made; init has been reaped.

    Arguments:
        stdio: descriptors that become 0, 1, 2; None: the caller's own.
        console: give init a pseudoterminal of the container's own devpts as 0, 1, 2 and
            its controlling terminal; ``stdio`` is then not used.
        console_size: rows and columns.
        cgroup: a cgroup that exists and has its limits; init joins it before anything else.
        ns_fds: descriptors of namespaces to join, by type as the specification names them
            (``network``, ``pid`` …); they take precedence over paths in the config.
        preserve_fds: that many descriptors from 3 on stay open in the program.
        on_step: called with each step's name and microseconds.
    Raises:
        ProgramNotFound, ProgramNotExecutable: the program, looked up inside the container.
        CortenError: with step, path and errno of what failed, in parent or child.
    """
    raise NotImplementedError


def start(created: Created) -> None:
    """Execute the program, then run the poststart hooks. Closes ``start_fd``.

    startContainer hooks run inside the container before.

    Raises:
        ProgramNotFound, ProgramNotExecutable: from execve itself.
        FailedPrecondition: init has ended meanwhile.
        CortenError: a hook failed; the container has been killed where the specification
            says so (startContainer, poststart).
    """
    raise NotImplementedError


def exec_process(
    plan: Plan | None,
    process: dict[str, Any],
    *,
    pid: int,
    pidfd: int = -1,
    stdio: Stdio | None = None,
    console: bool = False,
    console_size: tuple[int, int] | None = None,
    cgroup: Cgroup | None = None,
    preserve_fds: int = 0,
) -> Started:
    """Run another process in a container: joins all namespaces of ``pid``, executes, returns
    when the program was executed.

    Arguments:
        plan: the container's, for its seccomp filter and labels; None: without a filter.
        process: a ``process`` object of the specification.
        pid: init's process id.
        pidfd: init's, so that a reused number is never joined; -1: opened here.
        stdio, console, console_size, preserve_fds: as in :func:`create`.
        cgroup: the container's.
    Raises:
        FailedPrecondition: init has ended.
        ProgramNotFound, ProgramNotExecutable: the program, looked up inside the container.
        CortenError: with step, path and errno of what failed.
    """
    raise NotImplementedError


def abort(created: Created) -> None:
    """Kill and reap an init, close its descriptors; no hook is run. Never raises."""
    raise NotImplementedError


def state(plan: Plan, status: str, pid: int = 0) -> dict[str, Any]:
    """The state as the specification writes it (runtime.md, "State"), as hooks get it."""
    raise NotImplementedError


def run_poststop_hooks(plan: Plan) -> list[str]:
    """Run the poststop hooks after the container was deleted; the failures as warnings
    (runtime.md, "Lifecycle" 13: they are logged, the rest goes on)."""
    raise NotImplementedError
