"""The command line in the client's own process tree: no warm program, same result.

The thin client stays what it is; the worker is forked from it instead of from the warm
program, and imports the whole command line first. Its sessions differ as they do there.
"""

from __future__ import annotations

import _socket
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass


def spawn_worker(state: bytes | None) -> _socket.socket:
    """Fork a worker; the client's end of the connection to it.

    Arguments:
        state: the daemon's state directory; None: a remote host was named.
    """
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    if posix.fork():
        theirs.close()
        return ours
    code = 1
    try:
        ours.close()
        posix.setsid()  # Ctrl-C is for the client, which tells the worker
        _work(theirs, state)
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        posix._exit(code)
    raise AssertionError


def _work(theirs: _socket.socket, state: bytes | None) -> None:
    import os
    import socket

    from corten.cli import worker

    directory = None if state is None else os.fsdecode(state)
    worker.serve(socket.socket(fileno=theirs.detach()), directory, foreign=False)
