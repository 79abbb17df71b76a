"""Hooks: programs that are run at six points of a container's life (config.md, "POSIX-platform
Hooks"), with its state on their standard input."""

from __future__ import annotations

import posix
import select
import time
from _signal import SIGKILL, strsignal

from corten.errors import CortenError, DeadlineExceeded, FailedPrecondition
from corten.kernel.paths import fsencode
from corten.kernel.process import close_range, execve, memfd, pidfd_open
from corten.oci.failure import failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from corten.spec.records import Hook

_KEPT_OUTPUT = 4096  # bytes of what a hook says that go into its error


def run_hooks(
    kind: str,
    hooks: tuple[Hook, ...],
    state: bytes,
    *,
    cwd: str = "/",
    confine: Callable[[], None] | None = None,
) -> None:
    """Run hooks in order; the first that fails ends it.

    Arguments:
        kind: as the specification names it, for errors.
        state: the container's state as JSON.
        cwd: where they start.
        confine: called in the hook's process, last before its program.
    Raises:
        FailedPrecondition: a hook ended with something else than 0.
        DeadlineExceeded: it took longer than its timeout and was killed.
    """
    for number, hook in enumerate(hooks):
        step = f"error running {kind} hook #{number}"
        try:
            _run(step, hook, state, cwd, confine)
        except OSError as error:
            raise failed(step, error, path=hook.path) from None


def run_hooks_leniently(kind: str, hooks: tuple[Hook, ...], state: bytes) -> list[str]:
    """Run all hooks whatever happens; the failures as text (poststop)."""
    warnings = []
    for number, hook in enumerate(hooks):
        try:
            _run(f"error running {kind} hook #{number}", hook, state, "/")
        except (CortenError, OSError) as error:
            # both runc's and crun's words
            warnings.append(f"{error}: {kind} hook failed{_exit_code(error)}")
    return warnings


def _exit_code(error: CortenError | OSError) -> str:
    words = str(error).rpartition("exit status ")[2].split(" ")
    return f" with exit code {words[0].rstrip(':')}" if words[0].rstrip(":").isdigit() else ""


def _run(
    step: str, hook: Hook, state: bytes, cwd: str, confine: Callable[[], None] | None = None
) -> None:
    if not posix.access(hook.path, posix.X_OK):
        raise FailedPrecondition("there is no such program", step=step, path=hook.path, errno=2)
    output_read, output_write = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
    # a memory file: a hook that never reads can't make us wait, however long the state is
    stdin = memfd("state", state)
    try:
        pid = posix.fork()
        if pid == 0:
            _become_hook(hook, stdin, output_write, cwd, confine)
        posix.close(output_write)
        output_write = -1
        _await(step, hook, pid, output_read)
    finally:
        for fd in (stdin, output_read, output_write):
            if fd >= 0:
                posix.close(fd)


def _become_hook(
    hook: Hook, stdin: int, output: int, cwd: str, confine: Callable[[], None] | None
) -> None:
    """In the child: never returns."""
    try:
        posix.set_blocking(output, True)
        try:
            posix.chdir(cwd)
        except OSError:
            posix.chdir("/")
        posix.dup2(stdin, 0, inheritable=True)
        posix.dup2(output, 1, inheritable=True)
        posix.dup2(output, 2, inheritable=True)
        close_range(3)
        args = hook.args or (hook.path,)
        if hook.env is None:
            env = [b"=".join(item) for item in posix.environ.items()]
        else:
            env = [fsencode(item) for item in hook.env]
        argv = [fsencode(item) for item in args]
        if confine is not None:
            confine()
        execve(hook.path, argv, env)
    except OSError as error:
        posix.write(2, fsencode(error.strerror or "exec failed"))
    finally:
        posix._exit(127)


def _await(step: str, hook: Hook, pid: int, output: int) -> None:
    pidfd = pidfd_open(pid)
    said = bytearray()
    try:
        end = None if hook.timeout is None else time.monotonic() + hook.timeout
        ended = _watch(pidfd, output, said, end)
        if not ended:
            posix.kill(pid, SIGKILL)
        end_of = posix.waitid(posix.P_PIDFD, pidfd, posix.WEXITED)
    finally:
        posix.close(pidfd)
    _drain(output, said)
    text = bytes(said).decode("utf-8", "replace").strip()
    if not ended:
        raise DeadlineExceeded(
            f"did not end within {hook.timeout} s" + (f": {text}" if text else ""),
            step=step,
            path=hook.path,
        )
    if end_of is not None and end_of.si_status:
        how = f"exit status {end_of.si_status}"
        if end_of.si_code != posix.CLD_EXITED:
            how = f"signal: {(strsignal(end_of.si_status) or '').lower()}"
        raise FailedPrecondition(how + (f": {text}" if text else ""), step=step, path=hook.path)


def _watch(pidfd: int, output: int, said: bytearray, end: float | None) -> bool:
    """Collect output until the process ends (True) or the time does (False)."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(output, select.POLLIN)
    while True:
        left = None if end is None else max(0, int((end - time.monotonic()) * 1000))
        ready = dict(poll.poll(left))
        if pidfd in ready:
            return True
        if output in ready and not _drain(output, said):
            poll.unregister(output)
        if end is not None and time.monotonic() >= end:
            return False


def _drain(output: int, said: bytearray) -> bool:
    """Take what can be read at once; False at the end of the output."""
    while True:
        try:
            piece = posix.read(output, 65536)
        except BlockingIOError:
            return True
        if not piece:
            return False
        said += piece[: max(0, _KEPT_OUTPUT - len(said))]
