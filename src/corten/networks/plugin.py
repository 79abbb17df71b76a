"""One run of a CNI plugin: a program with JSON in, JSON out and a deadline.

Blocking, for a pool of threads. Input and output are anonymous files, not pipes: nobody
has to read while the plugin writes, and a process that a plugin leaves behind (the dhcp
daemon) keeps nothing of ours waiting.
"""

from __future__ import annotations

import os
import select
import signal
from typing import NamedTuple

from corten.errors import DeadlineExceeded, Unavailable

_OUTPUT_LIMIT = 1 << 20
_KILL_SECONDS = 5.0


class Outcome(NamedTuple):
    """Exit status (negative: a signal's number) and what was written."""

    status: int
    stdout: bytes
    stderr: bytes


def run(program: str, *, environment: dict[str, str], data: bytes, timeout: float) -> Outcome:
    """Run a program to its end.

    Arguments:
        environment: added to that of the daemon: plugins look for a KUBECONFIG or a proxy.
        timeout: seconds; then its process group is killed.
    Raises:
        DeadlineExceeded, Unavailable (it can't be executed).
    """
    step = f"CNI plugin {os.path.basename(program)}"
    files = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdin", "stdout", "stderr")]
    try:
        os.write(files[0], data)
        os.lseek(files[0], 0, os.SEEK_SET)
        pid = os.posix_spawn(
            program,
            [program],
            {**os.environ, **environment},
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(files)],
            setpgroup=0,
            setsigmask=(),
        )
        status = _wait(pid, timeout)
        if status is None:
            raise DeadlineExceeded(f"no answer within {timeout:g} seconds", step=step, path=program)
        return Outcome(status, _content(files[1]), _content(files[2]))
    except OSError as error:
        raise Unavailable(
            f"it can't be run: {error.strerror}", step=step, path=program, errno=error.errno or 0
        ) from error
    finally:
        for fd in files:
            os.close(fd)


def _wait(pid: int, timeout: float) -> int | None:
    """The exit status; ``None`` if it had to be killed."""
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if poll.poll(timeout * 1000):
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.killpg(pid, signal.SIGKILL)
        if poll.poll(_KILL_SECONDS * 1000):
            os.waitpid(pid, 0)
        return None
    finally:
        os.close(pidfd)


def _content(fd: int) -> bytes:
    return os.pread(fd, _OUTPUT_LIMIT, 0)
