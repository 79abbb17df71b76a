"""The ``corten`` command as it starts: a bare interpreter that imports next to nothing.

It hands the command line, its surroundings and its descriptors to a warm worker, then
does what only the owner of the terminal can do: raw mode, window size, job control,
signals, and the copying between the terminal and the container's stream.
"""

from __future__ import annotations

import _signal
import posix
import sys
from _socket import (
    AF_UNIX,
    CMSG_SPACE,
    MSG_CMSG_CLOEXEC,
    SCM_RIGHTS,
    SOCK_CLOEXEC,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
)

import corten
from corten.cli import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

DEFAULT_STATE = b"/run/corten"
_ENDING = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)
_LOST = 125
_ATTACHING = {b"attach", b"exec", b"run", b"start"}


def main() -> NoReturn:
    """Run the command line in ``sys.argv`` and exit with its code."""
    try:
        code = run([_encode(word) for word in sys.argv[1:]])
    except KeyboardInterrupt:
        code = 128 + _signal.SIGINT
    except BrokenPipeError:  # whoever read our output has gone
        code = 128 + _signal.SIGPIPE
    posix._exit(code)


def run(argv: list[bytes]) -> int:
    """The exit code of the command line."""
    cwd = _open_cwd()
    environ: dict[bytes, bytes] = posix.environ
    state = find_state(argv, environ)
    if state is not None:
        worker = _connect(state + b"/cli.sock")
        if worker is not None:
            client = Client(worker, attaches=not _ATTACHING.isdisjoint(argv))
            code = client.run(_request(argv, environ), cwd)
            if code is not None:
                return code
    from corten.cli.thin_start import spawn_worker  # the slow way: everything is imported here

    code = Client(spawn_worker(state)).run(_request(argv, environ), cwd)
    return _LOST if code is None else code


def find_state(argv: list[bytes], environ: dict[bytes, bytes]) -> bytes | None:
    """The daemon's state directory; None where a host is named that is not this machine.

    In this order: ``--state`` or ``--host`` before the command, ``CORTEN_HOST``,
    ``CORTEN_STATE``, a remote ``DOCKER_HOST``, the default.
    """
    words = iter(argv)
    for word in words:
        if not word.startswith(b"-"):
            break
        option, equals, value = word.partition(b"=")
        if option in (b"--state", b"--host", b"-H"):
            value = value if equals else next(words, b"")
            return value if option == b"--state" else _local_state(value)
    host = environ.get(b"CORTEN_HOST", b"")
    if host:
        return _local_state(host)
    state = environ.get(b"CORTEN_STATE", b"")
    if state:
        return state
    remote = environ.get(b"DOCKER_HOST", b"")
    if remote and not remote.startswith((b"unix:", b"/")):
        return None
    return DEFAULT_STATE


def _local_state(host: bytes) -> bytes | None:
    path = host[7:] if host.startswith(b"unix://") else host
    if not path.startswith(b"/"):
        return None
    return path[: -len(b"/corten.sock")] if path.endswith(b"/corten.sock") else path


def _request(argv: list[bytes], environ: dict[bytes, bytes]) -> bytes:
    umask = posix.umask(0)
    posix.umask(umask)
    return wire.encode_request(
        wire.Request(version=corten.__version__, umask=umask, argv=argv, environ=environ)
    )


def _open_cwd() -> int:
    """A descriptor of the working directory, -1 where it can't be opened. The first
    descriptor that is opened: if it is 0 to 2, a standard one is closed and gets /dev/null."""
    try:
        fd = posix.open(".", posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except OSError:
        fd = -1
    if -1 < fd <= 2:
        posix.close(fd)
        while posix.open("/dev/null", posix.O_RDWR) <= 2:
            pass
        return _open_cwd()
    return fd


def _connect(path: bytes) -> socket | None:
    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        return None
    return sock


class Client:
    """The client's side of one command: sends it, obeys the worker, gives the exit code.

    Arguments:
        attaches: a stream will probably be attached: what that takes is imported while the
            worker is busy.
    """

    def __init__(self, worker: socket, *, attaches: bool = False) -> None:
        self.worker = worker
        self._attaches = attaches
        self._buffer = bytearray()
        self._fds: list[int] = []
        self._interrupted = False
        self.give_back: Callable[[], None] = _nothing  # the terminal, before a sudden end

    def run(self, request: bytes, cwd: int) -> int | None:
        """Send the request and serve the worker; None: it refused or nobody answered."""
        fds = [0, 1, 2] if cwd < 0 else [0, 1, 2, cwd]
        self.handle(_ENDING, self._on_signal)
        try:
            sent = self.worker.sendmsg([request], [(SOL_SOCKET, SCM_RIGHTS, _pack(fds))])
            if sent < len(request):
                self.worker.sendall(request[sent:])
        except OSError:
            return None  # it went away before it read anything: nothing was done
        if self._attaches:
            import corten.cli.thin_terminal
            import corten.spec.multiplex  # noqa: F401
        return self._serve()

    def _serve(self) -> int | None:
        begun = False
        while True:
            received = self.receive()
            if received is None:
                return self.lost() if begun else None
            kind, payload = received
            begun = True
            if kind == wire.EXIT:
                return payload[0]
            if kind == wire.REFUSE:
                if b"CORTEN_DEBUG" in posix.environ:
                    posix.write(2, b"corten: no warm worker: " + payload + b"\n")
                return None
            if kind == wire.ATTACH:
                from corten.cli.thin_terminal import Terminal

                code = Terminal(self, self._fds.pop(0), payload[0], payload[1:]).run()
                if code is not None:
                    return code
                self.handle(_ENDING, self._on_signal)

    def receive(self) -> tuple[bytes, bytes] | None:
        """The worker's next message; None: it is gone."""
        while True:
            received = wire.take(self._buffer)
            if received is not None:
                return received
            if not self.pump():
                return None

    def pump(self) -> bool:
        """Read once from the worker; false at the end."""
        try:
            data, ancillary, _, _ = self.worker.recvmsg(4096, CMSG_SPACE(4), MSG_CMSG_CLOEXEC)
        except OSError:
            return False
        for _level, _kind, raw in ancillary:
            self._fds.append(int.from_bytes(raw[:4], sys.byteorder))
        self._buffer += data
        return bool(data)

    def pending(self) -> tuple[bytes, bytes] | None:
        """A message that has already come."""
        return wire.take(self._buffer)

    def send(self, kind: bytes, payload: bytes) -> None:
        """Tell the worker."""
        try:
            self.worker.sendall(wire.message(kind, payload))
        except OSError:
            return  # it is gone, the next read says so

    def handle(self, signals: tuple[int, ...], handler: object) -> None:
        """Install a handler, but not where the signal was ignored (nohup, background jobs of
        a shell without job control)."""
        for number in signals:
            if _signal.getsignal(number) != _signal.SIG_IGN:
                _signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: object) -> None:
        if self._interrupted:
            self.give_back()
            posix._exit(128 + number)
        self._interrupted = True
        self.send(wire.SIGNAL, bytes((number,)))

    def lost(self) -> int:
        """Say that the worker died; the exit code for it."""
        posix.write(2, b"corten: the process that ran the command line has died\n")
        return _LOST


def _nothing() -> None:
    """There is nothing to give back."""


def _pack(fds: list[int]) -> bytes:
    return b"".join([fd.to_bytes(4, sys.byteorder) for fd in fds])


def _encode(word: str) -> bytes:
    return word.encode("utf-8", "surrogateescape")
