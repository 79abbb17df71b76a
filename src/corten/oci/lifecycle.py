"""From an init that is there to its end: what it asks for, the order to start, the hooks.

What a plain start does not need is imported where it is used; a warm process has it in memory
(``container`` imports it all).
"""

from __future__ import annotations

import posix
from _signal import SIGKILL

from corten.errors import CortenError, FailedPrecondition, Internal
from corten.kernel.namespaces import KINDS
from corten.kernel.process import pidfd_send_signal, wait_pidfd
from corten.oci.channel import Channel
from corten.oci.failure import attempt, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cgroups.base import Cgroup
    from corten.oci.planned import Plan


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


def namespaces_to_join(plan: Plan, given: dict[str, int], opened: list[int]) -> dict[str, int]:
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


def accompany(created: Created, channel: Channel, console: bool) -> None:
    """Do what init asks for until it is ready."""
    plan = created.plan
    if created.cgroup is not None:
        created.cgroup.joined()
    if plan.config.linux.namespace("user") is not None:
        _lend_rights(created)
    while True:
        answer = channel.receive(descriptors=console)
        if answer is None:
            raise died(created)
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
    from corten.kernel.files import write_proc

    process = created.plan.process.process
    if process.oom_score_adj is not None:
        value = str(process.oom_score_adj).encode()
        path = f"/proc/{created.pid}/oom_score_adj"
        attempt("set oom_score_adj", write_proc, path, value)


def _run_runtime_hooks(created: Created) -> None:
    from corten.oci.hooks import run_hooks
    from corten.oci.state import hook_state

    hooks = created.plan.config.hooks
    state = hook_state(created.plan, "creating", created.pid)
    try:
        for kind in ("prestart", "createRuntime"):
            run_hooks(kind, hooks.get(kind, ()), state, cwd=created.plan.bundle)
    except CortenError as error:
        error.from_init = True  # it waits for them
        raise


def died(created: Created) -> CortenError:
    """Init ended without a word."""
    code = wait_pidfd(created.pidfd, reap=False)
    text = "init was killed" if code and code > 128 else f"init ended with {code}"
    hint = "try again"
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
        kill(created.pidfd)
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
        if channel.receive(descriptors=False) is not None:
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
                _hand_over_listener(plan, fds[0], pid)
    except BrokenPipeError:
        raise FailedPrecondition("init has ended", step="start") from None
    finally:
        channel.close()


def _hand_over_listener(plan: Plan, fd: int, pid: int) -> None:
    from corten.oci.listener import hand_over
    from corten.oci.state import state_of

    assert plan.process.seccomp is not None  # the filter had the flag that makes a listener
    hand_over(plan.process.seccomp, fd, state_of(plan, "creating", pid), pid)


def _set_rlimits(plan: Plan, pid: int) -> None:
    from corten.oci.identity import set_rlimits

    set_rlimits(plan.process.process.rlimits, pid=pid)


def run_poststart_hooks(plan: Plan, pid: int) -> None:
    """Raises CortenError where one fails: the start has failed then (runtime-spec 1.3)."""
    hooks = plan.config.hooks.get("poststart", ())
    if not hooks:
        return
    from corten.oci.hooks import run_hooks
    from corten.oci.state import hook_state

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
    return Channel(fd)


def abort(created: Created) -> None:
    """Kill and reap an init, close its descriptors; no hook is run. Never raises."""
    if created.start_fd >= 0:
        posix.close(created.start_fd)
    discard(created.pidfd, created.console_fd)
    created.start_fd = created.pidfd = created.console_fd = -1


def discard(pidfd: int, console_fd: int) -> None:
    """Kill and reap a process, close its terminal; -1 is neither."""
    if pidfd >= 0:
        kill(pidfd)
        _reap(pidfd)
        posix.close(pidfd)
    if console_fd >= 0:
        posix.close(console_fd)


def kill(pidfd: int) -> None:
    """Kill a process, if it has not ended."""
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
    if not hooks:
        return []
    from corten.oci.hooks import run_hooks_leniently
    from corten.oci.state import hook_state

    return run_hooks_leniently("poststop", hooks, hook_state(plan, "stopped", 0))
