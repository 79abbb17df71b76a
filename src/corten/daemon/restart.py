"""``cortend --restart``: end the daemon that serves these roots and start this version in its
place. Containers, their monitors and their logs do not notice.

A daemon that is a unit of systemd's is restarted by systemd. Any other is told to end and then
started again with the arguments and the environment that it had; a supervisor that starts it
itself is given time to do so.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from corten.client import Client
from corten.daemon import places
from corten.daemon.shutdown import peer
from corten.errors import CortenError, DeadlineExceeded, Unavailable

_BOOTED = "/run/systemd/system"  # sd_booted(3)
_END = 60.0  # seconds for the old one to end
_SUPERVISOR = 10.0  # seconds for a supervisor to start its daemon again
_START = 60.0  # seconds for the new one to answer
_POLL = 0.05


def restart(*, state: str) -> str:
    """Restart the daemon of a state directory; what was done, for the user.

    Raises:
        DeadlineExceeded: the old one did not end: nothing has changed.
        Unavailable: the new one does not answer.
    """
    path = f"{state}/corten.sock"
    old = peer(path)
    if not old:
        return f"no daemon serves {state}: there is nothing to restart"
    unit, ours = _unit_of(old), 0
    if unit:
        if subprocess.run(["systemctl", "restart", unit], check=False).returncode:
            raise Unavailable(
                f"systemd did not restart {unit}", hint=f"see: journalctl -u {unit} -n 50"
            )
    else:
        ours = _replace(old, state)
    _wait(path, old, f"journalctl -u {unit}" if unit else f"{state}/{places.LOG}")
    if ours and peer(path) != ours:
        _take_back(ours)
    with Client(path) as client:
        return f"the daemon was restarted, it is version {client.version()['version']}"


def _unit_of(pid: int) -> str:
    """The unit of systemd's that a process is the daemon of; empty: none."""
    if not os.path.isdir(_BOOTED):
        return ""
    rows = Path(f"/proc/{pid}/cgroup").read_text("utf-8").splitlines()
    groups = [row.rpartition("/")[2] for row in rows]
    units = [group for group in groups if group.endswith(".service")]
    return units[0] if units else ""


def _replace(old: int, state: str) -> int:
    """End it; then there is another. Its process id, where it is not a supervisor's but ours."""
    arguments, environment, log = _arguments(old), _environment(old), _log(old, state)
    supervised = _parent(old) != 1
    pidfd = os.pidfd_open(old)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        if not select.select([pidfd], [], [], _END)[0]:
            raise DeadlineExceeded(
                f"the daemon {old} did not end within {_END:.0f} s",
                hint="see its log; containers go on when it is killed: "
                f"kill -9 {old}, then corten ps starts another",
            )
    finally:
        os.close(pidfd)
    if supervised and _comes_back(f"{state}/corten.sock", old):
        return 0
    return _spawn(arguments, environment, log)


def _take_back(pid: int) -> None:
    """A supervisor was slow, and faster in the end: ours would only wait for its own end, or for
    that of the other."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)


def _arguments(pid: int) -> list[str]:
    """The daemon's own options: behind the interpreter's and the program."""
    raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    words = [os.fsdecode(word) for word in raw.split(b"\0")[:-1]]
    own = [number for number, word in enumerate(words) if word.startswith("--")]
    return words[own[0] :] if own else []


def _environment(pid: int) -> dict[bytes, bytes]:
    """As it was started: proxies and the like."""
    items = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    pairs = [item.partition(b"=") for item in items if b"=" in item]
    return {name: value for name, _, value in pairs}


def _log(pid: int, state: str) -> str:
    """The file to which its messages go; the usual one where that is a terminal or a pipe."""
    target = os.readlink(f"/proc/{pid}/fd/2")
    return target if os.path.isfile(target) else f"{state}/{places.LOG}"


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[1])


def _comes_back(path: str, old: int) -> bool:
    end = time.monotonic() + _SUPERVISOR
    while time.monotonic() < end:
        if peer(path) not in (0, old):
            return True
        time.sleep(_POLL)
    return False


def _spawn(arguments: list[str], environment: dict[bytes, bytes], log: str) -> int:
    os.chdir("/")
    os.umask(0o022)
    # This program, as it was called, with the old one's options instead of ours.
    program = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
    append = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    return os.posix_spawn(
        sys.executable,
        [sys.executable, *program[1:], *arguments],
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def _wait(path: str, old: int, log: str) -> None:
    end = time.monotonic() + _START
    while True:
        try:
            if peer(path) not in (0, old):
                with Client(path):
                    return
        except CortenError:
            pass  # it is on its way up
        if time.monotonic() > end:
            raise Unavailable(
                "the daemon was restarted and does not answer; containers go on", hint=f"see: {log}"
            )
        time.sleep(_POLL)
