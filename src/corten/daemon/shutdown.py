"""``cortend --shutdown``: take back what the daemon of these roots holds, then end it.

Removal is the daemon's own work, so where none answers one is started for it: what an
earlier one left behind is found in its records, as at every start.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

from corten.client import Client
from corten.daemon import places
from corten.errors import DeadlineExceeded, Unavailable
from corten.launch import groups
from corten.networks import hostsettings
from corten.store import Database

_START = 60.0  # seconds for a daemon to answer
_END = 60.0  # seconds for it to end
_LAST_FILES = 10.0  # seconds for its programs to end, which make and remove files meanwhile


def shut_down(*, root: str, state: str, config: str, purge: bool) -> None:
    """Remove every container and pod, end the daemon, its launcher and its warm programs.

    Arguments:
        root, state, config: as for the daemon.
        purge: remove root and state too; images and all other data are gone then.
    Raises:
        Unavailable: no daemon answers and none can be started.
        DeadlineExceeded: the daemon did not end.
    """
    gone = not os.path.isdir(root) and not os.path.isdir(state)
    if gone and not (purge and _traces(places.prefix(state))):
        return
    path = f"{state}/corten.sock"
    if peer(path) == 0:
        _start(root, state, config)
    pidfd = os.pidfd_open(peer(path))
    try:
        with Client(path) as client:
            client.remove_everything()
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        if not select.select([pidfd], [], [], _END)[0]:
            raise DeadlineExceeded(
                f"the daemon did not end within {_END:.0f} s", hint="see its log, then kill it"
            )
    finally:
        os.close(pidfd)
    for line in _restore_settings(root, state):
        sys.stdout.write(f"cortend: {line}\n")
    sys.stdout.flush()
    if purge:
        # Whatever bears the prefix and was in no record, as after a loss of the state directory.
        for group in (places.prefix(state), f"{places.prefix(state)}-monitors"):
            groups.kill_group(f"/{group}")
        if os.path.isdir("/run/systemd/system"):
            subprocess.run(["systemctl", "stop", f"{places.prefix(state)}.slice"], check=False)
        _purge(root, state)


def _traces(prefix: str) -> bool:
    """Whether a daemon whose directories were removed has left interfaces or groups."""
    links = os.listdir("/sys/class/net") if os.path.isdir("/sys/class/net") else []
    return any(name.startswith(prefix) for name in links) or any(
        groups.group_exists(f"/{group}") for group in (prefix, f"{prefix}-monitors")
    )


def peer(path: str) -> int:
    """Process id of the daemon that listens; 0 if none does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return 0
        pid, _uid, _gid = struct.unpack(
            "3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        )
        return int(pid)


def _start(root: str, state: str, config: str) -> None:
    """A daemon of our own, until it answers. It may find another on its way up: then that one."""
    argv = [sys.executable, *sys.orig_argv[1 : _own_arguments()]]
    argv += ["--root", root, "--state", state, "--config", config]
    pid = os.posix_spawn(sys.executable, argv, dict(os.environ))
    end = time.monotonic() + _START
    while not peer(f"{state}/corten.sock"):
        if os.waitpid(pid, os.WNOHANG)[0] or time.monotonic() > end:
            raise Unavailable("no daemon could be started to remove what there is", path=root)
        time.sleep(0.05)


def _restore_settings(root: str, state: str) -> list[str]:
    """Settings of the host, such as forwarding, that the networks had changed."""
    db = Database(f"{root}/corten.db")
    try:
        return hostsettings.restore(db, prefix=places.prefix(state))
    finally:
        db.close()


def _own_arguments() -> int:
    """Where in the interpreter's command line the program's own arguments begin."""
    return len(sys.orig_argv) - len(sys.argv) + 1


def _purge(root: str, state: str) -> None:
    for directory in (root, state):
        _remove(directory)
    if state == places.DEFAULT_STATE:
        shutil.rmtree("/var/cache/corten", ignore_errors=True)


def _remove(directory: str) -> None:
    """A file that vanishes under our hands, or comes, does not keep the rest."""
    end = time.monotonic() + _LAST_FILES
    while os.path.lexists(directory):
        try:
            shutil.rmtree(directory)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
