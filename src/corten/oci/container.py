"""From a plan to a running container, and its other processes. Synchronous, no threads.

All of it may be called in a warm process that was forked and can't import any more.
The caller's namespaces and cgroup are as they were when a function returns.
"""

from __future__ import annotations

import posix
from _signal import SIGKILL
from _socket import socket

from corten.errors import CortenError, FailedPrecondition, Internal
from corten.kernel.files import write_proc
from corten.kernel.namespaces import KINDS
from corten.kernel.process import pidfd_open, pidfd_send_signal, wait_pidfd
from corten.oci import listener
from corten.oci.channel import Channel, channel_pair
from corten.oci.failure import attempt, failed
from corten.oci.hooks import run_hooks, run_hooks_leniently
from corten.oci.identity import set_rlimits
from corten.oci.init import Wiring
from corten.oci.join import Target, join
from corten.oci.plan import compile_process
from corten.oci.seccomp.cache import DEFAULT_DIRECTORY
from corten.oci.spawn import spawn
from corten.oci.state import hook_state, state_of
from corten.spec._struct import Struct, replace
from corten.spec.runtime import parse_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from corten.cgroups.base import Cgroup
    from corten.oci.plan import Plan, ProcessPlan

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
        wiring.join = _namespaces_to_join(plan, ns_fds or {}, opened)
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
        _accompany(created, wiring.ours, console)
    except BaseException:
        wiring.ours.detach()
        abort(created)
        raise
    wiring.ours.detach()
    if on_step is not None:
        for name, microseconds in created.steps:
            on_step(name, microseconds)
    return created


def _namespaces_to_join(plan: Plan, given: dict[str, int], opened: list[int]) -> dict[str, int]:
    """Descriptors by type: those given, and those the configuration names by path."""
    join_fds = dict(given)
    for entry in plan.config.linux.namespaces:
        if entry.type in join_fds or not entry.path:
            continue
        try:
            fd = posix.open(entry.path, posix.O_RDONLY | posix.O_CLOEXEC)
        except OSError as error:
            raise failed(f"open {entry.type} namespace", error, path=entry.path) from None
        opened.append(fd)
        join_fds[entry.type] = fd
    for kind in join_fds:
        if kind not in KINDS:
            raise Internal(f"there is no namespace type {kind}", step="join namespaces")
    return join_fds


def _accompany(created: Created, channel: Channel, console: bool) -> None:
    """Do what init asks for until it is ready."""
    plan = created.plan
    if created.cgroup is not None:
        created.cgroup.joined()
    if plan.config.linux.namespace("user") is not None:
        _lend_rights(created)
    while True:
        answer = channel.receive()
        if answer is None:
            raise _died(created)
        message, fds = answer
        kind = message["kind"]
        if kind == "console":
            created.console_fd = fds[0]
        elif kind == "hooks":
            _run_runtime_hooks(created)
            channel.send("go")
        elif kind == "ready":
            created.steps += [(str(name), int(us)) for name, us in message["steps"]]
            break
        else:
            raise Internal(f"init says {kind}", step="create")
    if console and created.console_fd < 0:
        raise Internal("init sent no console", step="create")


def _lend_rights(created: Created) -> None:
    """What init may not do itself in a user namespace."""
    process = created.plan.process.process
    if process.oom_score_adj is not None:
        value = str(process.oom_score_adj).encode()
        path = f"/proc/{created.pid}/oom_score_adj"
        attempt("set oom_score_adj", write_proc, path, value)


def _run_runtime_hooks(created: Created) -> None:
    hooks = created.plan.config.hooks
    state = hook_state(created.plan, "creating", created.pid)
    for kind in ("prestart", "createRuntime"):
        run_hooks(kind, hooks.get(kind, ()), state, cwd=created.plan.bundle)


def _died(created: Created) -> CortenError:
    """Init ended without a word."""
    code = wait_pidfd(created.pidfd, reap=False)
    text = "init was killed" if code and code > 128 else f"init ended with {code}"
    hint = ""
    if created.cgroup is not None and created.cgroup.oom_kill_count():
        text, hint = "init was killed for lack of memory", "raise the memory limit"
    return FailedPrecondition(text, step="create", hint=hint)


def start(created: Created) -> None:
    """Execute the program, then run the poststart hooks. Closes ``start_fd``.

    startContainer hooks run inside the container before.

    Raises:
        ProgramNotFound, ProgramNotExecutable: from execve itself.
        FailedPrecondition: init has ended meanwhile.
        CortenError: a hook failed; the container has been killed where the specification
            says so (startContainer, poststart).
    """
    channel = _adopt(created.start_fd)
    created.start_fd = -1
    start_over(channel, created.plan, created.pid)
    try:
        run_poststart_hooks(created.plan, created.pid)
    except CortenError:
        _kill(created.pidfd)
        raise


def starts_barely(plan: Plan) -> bool:
    """Whether :func:`order_start` is all that :func:`start` has to do: no hook, no limit and no
    seccomp listener wants the runtime meanwhile."""
    process = plan.process
    if plan.config.hooks.get("poststart"):
        return False
    if process.seccomp is not None and process.seccomp.listener_path:
        return False
    return not process.process.rlimits or plan.config.linux.namespace("user") is None


def order_start(start_fd: int) -> None:
    """:func:`start` of a container that :func:`starts_barely`, by whoever has its ``start_fd``.

    Raises:
        CortenError: as :func:`start`. Closes the descriptor.
    """
    channel = _adopt(start_fd)
    try:
        channel.send("start")
        if channel.receive() is not None:
            raise Internal("init says more than it was to", step="start")
    except BrokenPipeError:
        raise FailedPrecondition("init has ended", step="start") from None
    finally:
        channel.close()


def start_over(channel: Channel, plan: Plan, pid: int) -> None:
    """Give the order over a channel to init and wait until the program was executed.

    Raises:
        CortenError: as :func:`start`, hooks excepted. Closes the channel.
    """
    if plan.process.process.rlimits and plan.config.linux.namespace("user") is not None:
        # inside its user namespace init may not raise one; a lower one it sets itself
        attempt("set limits", _set_rlimits, plan, pid)
    try:
        channel.send("start")
        while (answer := channel.receive()) is not None:
            message, fds = answer
            if message["kind"] == "listener":
                state = state_of(plan, "creating", pid)
                listener.hand_over(plan.process.seccomp, fds[0], state, pid)
    except BrokenPipeError:
        raise FailedPrecondition("init has ended", step="start") from None
    finally:
        channel.close()


def _set_rlimits(plan: Plan, pid: int) -> None:
    set_rlimits(plan.process.process.rlimits, pid=pid)


def run_poststart_hooks(plan: Plan, pid: int) -> None:
    """Raises CortenError where one fails: the start has failed then (runtime-spec 1.3)."""
    hooks = plan.config.hooks.get("poststart", ())
    run_hooks("poststart", hooks, hook_state(plan, "running", pid), cwd=plan.bundle)


def leave_waiting(created: Created) -> None:
    """Make init wait at the ``listen_fd`` of :func:`create`, so that the caller may end.

    Closes ``start_fd``.
    """
    channel = _adopt(created.start_fd)
    created.start_fd = -1
    try:
        channel.send("wait")
    finally:
        channel.close()


def _adopt(fd: int) -> Channel:
    return Channel(socket(fileno=fd))


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
        return _await_exec(wiring.ours)
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
    return replace(compiled, seccomp=plan.seccomp, memory=plan.memory)


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


def _await_exec(channel: Channel) -> Started:
    """Collect the process, its terminal and the success or the error of its exec."""
    child = (-1, -1)
    console_fd = -1
    try:
        while (answer := channel.receive()) is not None:
            message, fds = answer
            if message["kind"] == "child":
                child = int(message["pid"]), fds[0]
            elif message["kind"] == "console":
                console_fd = fds[0]
    except CortenError:
        _discard(child[1], console_fd)
        raise
    if child[0] < 0:
        raise FailedPrecondition("the process was killed while it joined", step="exec")
    return Started(pid=child[0], pidfd=child[1], console_fd=console_fd)


def _discard(pidfd: int, console_fd: int) -> None:
    if pidfd >= 0:
        _kill(pidfd)
        _reap(pidfd)
        posix.close(pidfd)
    if console_fd >= 0:
        posix.close(console_fd)


def abort(created: Created) -> None:
    """Kill and reap an init, close its descriptors; no hook is run. Never raises."""
    if created.start_fd >= 0:
        posix.close(created.start_fd)
    _discard(created.pidfd, created.console_fd)
    created.start_fd = created.pidfd = created.console_fd = -1


def _kill(pidfd: int) -> None:
    try:
        pidfd_send_signal(pidfd, SIGKILL)
    except OSError:
        pass  # it has ended


def _reap(pidfd: int) -> None:
    try:
        wait_pidfd(pidfd)
    except ChildProcessError:
        pass  # somebody else's child


def run_poststop_hooks(plan: Plan) -> list[str]:
    """Run the poststop hooks after the container was deleted; the failures as warnings
    (runtime.md, "Lifecycle" 13: they are logged, the rest goes on)."""
    hooks = plan.config.hooks.get("poststop", ())
    return run_hooks_leniently("poststop", hooks, hook_state(plan, "stopped", 0))


state = state_of
