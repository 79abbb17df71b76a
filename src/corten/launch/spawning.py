"""How the daemon starts its launcher: ``posix_spawn`` of a program of its own."""

from __future__ import annotations

import os
import sys

from corten.kernel.sockets import seqpacket_pair
from corten.launch.client import LauncherConnection
from corten.launch.protection import FLAGS

CONTROL_FD = 3  # where the launcher finds its socket


class LauncherProcess:
    """A running launcher: its connection, its process id, and a pidfd that becomes readable
    when it ends. The caller is its parent and reaps it."""

    __slots__ = ("connection", "pid", "pidfd")

    def __init__(self, connection: LauncherConnection, pid: int, pidfd: int) -> None:
        self.connection = connection
        self.pid = pid
        self.pidfd = pidfd


def spawn_launcher(
    *,
    state_dir: str,
    python: str = "",
    program: str = "",
    cgroup: str = "",
    protect: bool = True,
    stderr: int = 2,
    env: dict[str, str] | None = None,
) -> LauncherProcess:
    """Start a launcher. It answers ``Hello`` as soon as it is warm.

    Arguments:
        state_dir: of the daemon; the launcher holds a lock on ``launcher.lock`` in it (its
            process id inside) as long as it lives, so that a new daemon can wait for its end.
        python: the interpreter; empty: ``/usr/bin/python3``, or this process's own where
            that is of another version.
        program: ``corten/launch/__main__.py`` of the tree to run; empty: this package's.
        cgroup: which the launcher (and so its monitors) joins; empty: it stays where it is.
        protect: put the read-only overlay over interpreter and libraries.
        stderr: where its diagnostics go.
    """
    python = python or default_python()
    program = program or os.path.join(os.path.dirname(__file__), "__main__.py")
    argv = [python, FLAGS, program, f"fd={CONTROL_FD}", f"state={state_dir}"]
    if cgroup:
        argv.append(f"cgroup={cgroup}")
    if not protect:
        argv.append("protect=0")
    mine, theirs = seqpacket_pair()
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, stderr, 2),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, theirs.fileno(), CONTROL_FD),
        ]
        pid = os.posix_spawn(python, argv, env or {"PATH": _PATH}, file_actions=actions)
    except BaseException:
        mine.close()
        raise
    finally:
        theirs.close()
    return LauncherProcess(LauncherConnection(mine), pid, os.pidfd_open(pid))


_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def default_python() -> str:
    """``/usr/bin/python3`` if it is what runs this process, else this process's interpreter."""
    system = "/usr/bin/python3"
    if os.path.realpath(system) == os.path.realpath(sys.executable):
        return system
    return os.path.realpath(sys.executable)
