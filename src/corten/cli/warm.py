"""The warm program: the whole command line imported, one fork per client.

Started by the daemon with a pipe as standard input that ends when the daemon does. After
the warm-up nothing can be imported any more, so an upgrade of the files under it never
mixes versions (docs/design.md, "Processes").
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

from corten.cli import autostart, preload, worker
from corten.cli.access import grant
from corten.cli.app import root

GROUP = "corten"


def main() -> NoReturn:
    """Serve ``S/cli.sock`` until standard input ends. Arguments: ``--state S``."""
    state = _state(sys.argv[1:])
    preload.everything(root)
    listener = listen(Path(state) / "cli.sock")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    close_imports()
    gc.collect()
    gc.freeze()
    _serve(listener, state)
    os._exit(0)


def _state(argv: list[str]) -> str:
    if len(argv) != 2 or argv[0] != "--state":
        sys.exit("usage: corten-warm --state DIRECTORY")
    return argv[1]


def close_imports() -> None:
    """From here on every import of something new fails."""
    autostart.remember_path()
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    sys.path.clear()


def listen(path: Path) -> socket.socket:
    """The listening socket, for root and the group only, put in the place of a stale one."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    mask = os.umask(0o177)
    try:
        listener.bind(str(new))
    finally:
        os.umask(mask)
    grant(new, GROUP)
    listener.listen(128)
    new.rename(path)
    return listener


def _serve(listener: socket.socket, state: str) -> None:
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(listener.fileno(), select.POLLIN)
    while True:
        ready = dict(poll.poll())
        if 0 in ready:
            return
        try:
            client, _ = listener.accept()
        except OSError:
            continue
        _fork(client, listener, state)


def _fork(client: socket.socket, listener: socket.socket, state: str) -> None:
    try:
        pid = os.fork()
    except OSError as error:  # no process or memory left: the client does it itself
        os.write(2, f"corten: fork: {error.strerror}\n".encode())
        pid = -1
    if pid:
        client.close()
        return
    code = 1
    try:
        listener.close()
        os.setsid()
        worker.serve(client, state, foreign=True)
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)
