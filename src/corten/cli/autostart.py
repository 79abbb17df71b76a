"""Without a daemon: root starts one; others are told what to type."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from corten.client import Connection
from corten.errors import CortenError, Unavailable

DEFAULT_STATE = "/run/corten"
_DEADLINE = 20.0  # seconds until the daemon must answer
# Nothing of the caller's: the daemon outlives it, and starts without it the next time.
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
_path: list[str] = []


def remember_path() -> None:
    """Keep ``sys.path`` for the daemon's program; the warm program empties it."""
    _path[:] = sys.path


def connect(state: str) -> Connection:
    """A connection to the daemon, which is started if it is not there and the user is root."""
    path = f"{state}/corten.sock"
    try:
        return Connection(path)
    except Unavailable:
        if os.geteuid() != 0 or not _ours_to_start(state):
            raise
    _start(state)
    return _wait(path, state)


def _ours_to_start(state: str) -> bool:
    """Another state directory has another root, which only who made it knows."""
    if "CORTEN_ROOT" in os.environ:
        return True
    return os.path.realpath(state) == os.path.realpath(DEFAULT_STATE)


def _start(state: str) -> None:
    print("corten: starting the daemon", file=sys.stderr)
    root = os.environ.get("CORTEN_ROOT")
    if root is None and Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "start", "corten.service"], check=False)
        return
    Path(state).mkdir(mode=0o711, parents=True, exist_ok=True)
    argv = program("from corten.daemon.main import main; sys.exit(main())")
    roots = ["--state", state, *(["--root", root] if root else [])]
    with Path(state, "cortend.log").open("ab") as log:
        subprocess.Popen(
            [*argv, *roots],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=_ENVIRONMENT,
            umask=0o022,
            start_new_session=True,
        )


def program(statement: str) -> list[str]:
    """An argument list that runs ``statement`` with the daemon's modules, without the caller's
    environment in the interpreter."""
    code = f"import sys; sys.path[:] = {_path or sys.path!r}; {statement}"
    return ["/usr/bin/python3", "-I", "-S", "-c", code]


def _wait(path: str, state: str) -> Connection:
    deadline = time.monotonic() + _DEADLINE
    while True:
        try:
            return Connection(path)
        except CortenError as error:
            if time.monotonic() > deadline:
                raise Unavailable(
                    "the daemon was started and does not answer",
                    path=path,
                    hint=f"its log: {state}/cortend.log, or: journalctl -u corten",
                ) from error
        time.sleep(0.02)
