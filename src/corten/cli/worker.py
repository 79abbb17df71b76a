"""What runs one command line, forked from the warm program or from the thin client."""

from __future__ import annotations

import array
import io
import os
import signal
import socket
import sys
import time

import corten
from corten.cli import takeover, wire
from corten.cli.console import ClientGone, Console, Interrupted

_MAX_REQUEST = 8 << 20  # bytes; the kernel allows 2 MiB of arguments and environment by default


def serve(sock: socket.socket, state: str | None, *, foreign: bool) -> None:
    """Serve one client and return when everything was said; the process then ends.

    Arguments:
        state: the daemon's state directory; None: a remote host was named.
        foreign: the client is another process, whose ids must be taken over first.
    """
    console = Console(sock)
    try:
        if foreign and not _take_over(sock, console):
            return None
        body, fds = _receive(sock)
        if not foreign:
            request = wire.decode_request(body)
        else:
            try:
                request = wire.decode_request(body)
            except ValueError as error:
                return console.refuse(str(error))
            if request.version != corten.__version__:
                return console.refuse(f"version {corten.__version__} can't stand for another")
        enter(request, fds)
        code = _run(request, console, state)
        os.closerange(0, 3)  # whoever reads what was written need not wait for our end, too
        console.exit(code)
    except (ClientGone, EOFError):
        return None


def _take_over(sock: socket.socket, console: Console) -> bool:
    """Become the client before anything of its is read."""
    try:
        caller = takeover.caller_of(sock)
        reason = takeover.objection(caller)
        if not reason:
            takeover.become(caller, takeover.limits_of(caller.pid))
            return True
    except OSError as error:
        reason = str(error)
    console.refuse(reason)
    return False


def _receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """The request's body and the descriptors that came with its first byte."""
    space = socket.CMSG_SPACE(4 * 4)
    data, ancillary, _, _ = sock.recvmsg(64 << 10, space, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(raw[: len(raw) // 4 * 4])
    body = bytearray(data)
    while len(body) < 4 or len(body) < 4 + int.from_bytes(body[:4], "big"):
        if len(body) > _MAX_REQUEST:
            raise EOFError("the request is too long")
        more = sock.recv(1 << 20)
        if not more:
            raise EOFError
        body += more
    return bytes(body[4:]), fds.tolist()


def enter(request: wire.Request, fds: list[int]) -> None:
    """Stand where the command was typed: descriptors, directory, umask, environment."""
    for target, fd in enumerate(fds[:3]):
        os.dup2(fd, target, inheritable=True)
    if len(fds) > 3:
        os.fchdir(fds[3])
    else:
        os.chdir("/")
    for fd in fds:
        os.close(fd)
    os.umask(request.umask)
    _take_environment(request.environ)
    for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(_raw(0, "r")), "utf-8", "surrogateescape")
    sys.stdout = _writer(1)
    sys.stderr = _writer(2)


def _take_environment(wanted: dict[bytes, bytes]) -> None:
    zone = os.environb.get(b"TZ")
    for name in [name for name in os.environb if name not in wanted]:
        del os.environb[name]
    for name, value in wanted.items():
        if os.environb.get(name) != value:
            os.environb[name] = value
    if wanted.get(b"TZ") != zone:
        time.tzset()


def _raw(fd: int, mode: str) -> io.FileIO:
    return io.FileIO(fd, mode, closefd=False)


def _writer(fd: int) -> io.TextIOWrapper:
    buffer = io.BufferedWriter(_raw(fd, "w"))
    line_buffering = fd == 2 or os.isatty(fd)
    return io.TextIOWrapper(
        buffer, "utf-8", "surrogateescape", newline="\n", line_buffering=line_buffering
    )


def _run(request: wire.Request, console: Console, state: str | None) -> int:
    from corten.cli.app import run_command  # after the fork in a client's own process

    try:
        console.listen()
        code = run_command([os.fsdecode(word) for word in request.argv], console, state)
    except Interrupted as interrupt:
        code = 128 + interrupt.number
    return flush(code)


def flush(code: int) -> int:
    """Write out what is buffered; a reader that has gone is as SIGPIPE would have it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            code = 128 + signal.SIGPIPE
        except OSError as error:
            os.write(2, f"corten: write error: {error.strerror}\n".encode())
            code = code or 1
    return code
