"""The warm program: the whole command line imported, one forked worker per client.

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
import time
import traceback
from pathlib import Path
from typing import NoReturn

from corten.cli import autostart, preload, rehearsal, worker
from corten.cli.access import grant
from corten.cli.app import root

GROUP = "corten"
NAME = "corten-warm"  # for ps and pgrep
SPARES = 2
_PAUSE = 30  # milliseconds until another spare is forked beside the last: a command goes first


def main() -> NoReturn:
    """Serve ``S/cli.sock`` until standard input ends. Arguments: ``--state S``."""
    state = _state(sys.argv[1:])
    preload.everything(root)
    listener = listen(Path(state) / "cli.sock")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Path("/proc/self/comm").write_text(NAME)
    _give_up_privileges()
    close_imports()
    gc.collect()
    gc.freeze()
    Spares(listener, state).keep()
    os._exit(0)


def _state(argv: list[str]) -> str:
    if len(argv) != 2 or argv[0] != "--state":
        sys.exit("usage: corten-warm --state DIRECTORY")
    return argv[1]


def _give_up_privileges() -> None:
    """The daemon's protection from the OOM killer is not for its callers' commands."""
    path = Path("/proc/self/oom_score_adj")
    if int(path.read_text()) < 0:
        path.write_text("0")


def close_imports() -> None:
    """From here on every import of something new fails."""
    autostart.remember_path()
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    sys.path.clear()


def listen(path: Path) -> socket.socket:
    """The listening socket, for root and the group only, put in the place of a stale one.

    Exits when standard input has ended: the socket may be that of the next daemon's program.
    """
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
    listener.setblocking(False)
    if select.select([0], [], [], 0)[0]:
        new.unlink(missing_ok=True)
        sys.exit(0)
    new.rename(path)
    return listener


def _prepare() -> None:
    """Nothing that fails here is of the client's that will come."""
    try:
        preload.touch()
        rehearsal.rehearse()
    except Exception:
        traceback.print_exc()


class Spares:
    """Workers that are forked already and wait for a client: a fork and the copying of the
    pages that every command touches cost as much as the command itself.

    Each holds one end of a pipe and closes it when it has its client (or dies), which is
    when the next is forked.
    """

    def __init__(self, listener: socket.socket, state: str) -> None:
        self._listener = listener
        self._state = state
        self._poll = select.poll()
        self._poll.register(0, select.POLLIN)
        self._idle: set[int] = set()

    def keep(self) -> None:
        """Until standard input ends."""
        while True:
            while not self._idle:
                self._refill()
            missing = len(self._idle) < SPARES
            ready = self._poll.poll(_PAUSE if missing else None)
            if missing and not ready:
                self._refill()
            for fd, _events in ready:
                if fd == 0:
                    return
                self._poll.unregister(fd)
                self._idle.remove(fd)
                os.close(fd)

    def _refill(self) -> None:
        if not self._fork():
            time.sleep(0.1)  # no process or memory left

    def _fork(self) -> bool:
        reading, writing = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            os.write(2, f"corten: fork: {error.strerror}\n".encode())
            os.close(reading)
            os.close(writing)
            return False
        if not pid:
            self._work(reading, writing)
        os.close(writing)
        self._idle.add(reading)
        self._poll.register(reading, select.POLLIN)
        return True

    def _work(self, reading: int, writing: int) -> NoReturn:
        """In the child: wait for a client, serve it, end."""
        code = 1
        try:
            os.setsid()
            for fd in (reading, *self._idle):
                os.close(fd)
            _prepare()
            client = self._accept()
            self._listener.close()
            os.close(writing)
            if client is not None:
                worker.serve(client, self._state, foreign=True)
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

    def _accept(self) -> socket.socket | None:
        """The next client; None when standard input has ended."""
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(self._listener.fileno(), select.POLLIN)
        while True:
            if any(fd == 0 for fd, _events in poll.poll()):
                return None
            try:
                return self._listener.accept()[0]
            except BlockingIOError:  # another spare was faster
                continue
