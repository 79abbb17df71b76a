"""What a spare worker does before its client comes: a whole ``exec``, whose answers are there
already. What a process touches first after its fork, it copies page by page, and that takes
longer than the command itself."""

from __future__ import annotations

import os
import signal
import socket

import corten
from corten.cli import takeover, wire, worker
from corten.cli.app import run_session
from corten.cli.console import Console
from corten.cli.session import Session
from corten.client import Client, Connection
from corten.spec import frames
from corten.spec.jsonlite import dumpb

_ARGV = ["exec", "-i", "-e", "A=b", "container", "true"]


def rehearse() -> int:
    """The exit code, which is 0. Afterwards everything stands as before."""
    pairs = [socket.socketpair() for _ in range(2)]
    (daemon, ours), (client, console) = pairs
    try:
        _take_over()
        _answer(daemon, client)
        session = Session(Console(console), None)
        session.use(Client(Connection("", _raw(ours)), tenant=session.tenant))
        return worker.flush(run_session(_ARGV, session))
    finally:
        signal.signal(signal.SIGIO, signal.SIG_IGN)  # the end of a socket is a reason for one
        for pair in pairs:
            for sock in pair:
                sock.close()
        signal.signal(signal.SIGIO, signal.SIG_DFL)


def _take_over() -> None:
    """Stand for ourselves, where we stand."""
    caller = takeover.Caller(os.getpid(), os.geteuid(), os.getegid(), tuple(os.getgroups()))
    takeover.objection(caller)
    takeover.parse_limits(takeover.ours().limits)
    takeover.limits_of(caller.pid)
    mask = os.umask(0)
    os.umask(mask)
    argv = [word.encode() for word in _ARGV]
    request = wire.encode_request(
        wire.Request(version=corten.__version__, umask=mask, argv=argv, environ=dict(os.environb))
    )
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    worker.enter(wire.decode_request(request[4:]), [*map(os.dup, range(3)), here])


def _answer(daemon: socket.socket, client: socket.socket) -> None:
    """What daemon and thin client say, ahead of time."""
    stream, other = socket.socketpair()
    started = dumpb({"started": {"id": "exec", "container_id": "container"}})
    socket.send_fds(daemon, [frames.encode(frames.ITEM, 1, started, 1)], [stream.fileno()])
    daemon.sendall(frames.encode(frames.REPLY, 1, b"0"))
    client.sendall(wire.message(wire.DONE, b"e"))
    stream.close()
    other.close()


def _raw(sock: socket.socket) -> socket.socket:
    return socket.socket(fileno=os.dup(sock.fileno()))
