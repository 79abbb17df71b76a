"""A connection to the daemon's native socket: requests out, answers in, in one thread.

Only C modules of the standard library are imported: the command line is forked from a
process that holds this, and scripts start with it.
"""

from __future__ import annotations

import _socket
import errno
import posix
import select
from time import monotonic

from corten.errors import (
    CortenError,
    DeadlineExceeded,
    Internal,
    PermissionDenied,
    Unavailable,
    from_dict,
)
from corten.spec import frames
from corten.spec.jsonlite import dumpb, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

CONNECT = "connect to the daemon"  # the step of errors that no daemon has answered
_READ = 256 << 10
_FD_SPACE = _socket.CMSG_SPACE(4 * frames.MAX_DESCRIPTORS)


class Answer:
    """One frame that answers a request.

    Attributes:
        final: nothing follows for this request.
        value: what the JSON payload said (None for lines).
        lines: the payload of a ``LINES`` frame, else empty.
        fds: descriptors that came with it; the reader owns them.
    """

    __slots__ = ("fds", "final", "lines", "value")

    def __init__(self, *, final: bool, value: Any, lines: bytes, fds: list[int]) -> None:
        self.final = final
        self.value = value
        self.lines = lines
        self.fds = fds


class ConnectionLost(Unavailable):
    """The daemon went away while an answer was outstanding."""


class Connection:
    """One socket with any number of requests under way; not for several threads.

    Arguments:
        path: the daemon's ``corten.sock``.
        sock: a connection to it that is there already.
    Raises:
        Unavailable: nobody listens there.
        PermissionDenied: the socket is not for this user.
    """

    def __init__(self, path: str, sock: _socket.socket | None = None) -> None:
        self.path = path
        self._sock = sock or connect(path)
        self._reader = frames.FrameReader()
        self._fds: list[int] = []
        self._last = 0
        self._waiting: dict[int, list[Answer | CortenError]] = {}

    def fileno(self) -> int:
        """For ``poll``: readable means :meth:`pump` will not block."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close; what the daemon does for open requests is cancelled where it may be."""
        self._sock.close()
        for fd in self._fds:
            posix.close(fd)
        self._fds.clear()
        for answers in self._waiting.values():
            for answer in answers:
                if isinstance(answer, Answer):
                    for fd in answer.fds:
                        posix.close(fd)
        self._waiting.clear()

    # requests --------------------------------------------------------------------------
    def begin(self, op: str, **arguments: Any) -> int:
        """Send a request; its number, for :meth:`receive`."""
        self._last = number = self._last % 0x7FFFFFFF + 1
        payload = dumpb({"op": op, **arguments})
        self._waiting[number] = []
        try:
            self._sock.sendall(frames.encode(frames.REQUEST, number, payload))
        except OSError as error:
            self.pump()  # what it said before it closed, such as who may connect
            raise self._lost(error.errno) from None
        return number

    def cancel(self, number: int) -> None:
        """Ask the daemon to stop answering; what it began for the request goes on."""
        try:
            self._sock.sendall(frames.encode(frames.CANCEL, number))
        except OSError as error:
            raise self._lost(error.errno) from None

    def call(self, op: str, **arguments: Any) -> Any:
        """A request with one answer: its value. Raises what the daemon raised."""
        answer = self.receive(self.begin(op, **arguments))
        _close_all(answer.fds)
        return answer.value

    def call_for_fd(self, op: str, **arguments: Any) -> int:
        """A request that is answered by a descriptor, which becomes the caller's."""
        answer = self.receive(self.begin(op, **arguments))
        if len(answer.fds) != 1:
            _close_all(answer.fds)
            raise Internal(f"{op} was answered without a descriptor")
        return answer.fds[0]

    def stream(self, op: str, **arguments: Any) -> Generator[Answer, None, None]:
        """All answers of a request, the final one last. Closing the generator cancels it."""
        number = self.begin(op, **arguments)
        try:
            while True:
                answer = self.receive(number)
                yield answer
                if answer.final:
                    return
        finally:
            if number in self._waiting:
                self._forget(number)

    def _forget(self, number: int) -> None:
        try:
            self.cancel(number)
            while not self.receive(number).final:
                pass
        except CortenError:
            pass

    # answers ---------------------------------------------------------------------------
    def receive(self, number: int, *, timeout: float | None = None) -> Answer:
        """Wait for the next answer to a request.

        Arguments:
            timeout: seconds, None for ever.
        Raises:
            CortenError: what the daemon answered; ConnectionLost; DeadlineExceeded.
        """
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            answer = self.ready(number)
            if answer is not None:
                return answer
            if deadline is not None and not self._readable(deadline - monotonic()):
                raise DeadlineExceeded("the daemon has not answered in time", path=self.path)
            self.pump()

    def ready(self, number: int) -> Answer | None:
        """The next answer that has already come, or None. Raises it if it is an error."""
        queue = self._waiting.get(number)
        if queue is None:
            raise Internal(f"request {number} is not open")
        if not queue:
            return None
        answer = queue.pop(0)
        if isinstance(answer, CortenError):
            del self._waiting[number]
            raise answer
        if answer.final:
            del self._waiting[number]
        return answer

    def pump(self) -> None:
        """Read once from the socket (blocks if it is not readable) and sort what came."""
        try:
            data, ancillary, _flags, _from = self._sock.recvmsg(
                _READ, _FD_SPACE, _socket.MSG_CMSG_CLOEXEC
            )
        except OSError as error:
            raise self._lost(error.errno) from None
        for level, kind, raw in ancillary:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                self._fds += memoryview(raw[: len(raw) // 4 * 4]).cast("i").tolist()
        if not data:
            raise self._lost(0)
        for frame in self._reader.feed(data):
            self._sort(frame)

    def _sort(self, frame: frames.Frame) -> None:
        fds, self._fds = self._fds[: frame.descriptors], self._fds[frame.descriptors :]
        if frame.kind == frames.ERROR and frame.request == 0:
            raise from_dict(loads(frame.payload))
        queue = self._waiting.get(frame.request)
        if queue is None:
            _close_all(fds)
        elif frame.kind == frames.ERROR:
            queue.append(from_dict(loads(frame.payload)))
        elif frame.kind == frames.LINES:
            queue.append(Answer(final=False, value=None, lines=frame.payload, fds=fds))
        else:
            value = loads(frame.payload)
            final = frame.kind == frames.REPLY
            queue.append(Answer(final=final, value=value, lines=b"", fds=fds))

    def _readable(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._sock.fileno(), select.POLLIN)
        return bool(poll.poll(max(0, int(seconds * 1000))))

    def _lost(self, number: int | None) -> ConnectionLost:
        return ConnectionLost(
            "the daemon closed the connection",
            path=self.path,
            errno=number or 0,
            hint="it was stopped or is being restarted; containers go on running",
        )


def connect(path: str) -> _socket.socket:
    """A connected socket. Raises Unavailable or PermissionDenied with a hint."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        sock.connect(path)
    except OSError as error:
        sock.close()
        raise explain_connect(path, error.errno or 0) from None
    return sock


def explain_connect(path: str, number: int) -> CortenError:
    """Why a connection to the daemon failed, and what to type."""
    if number in (errno.EACCES, errno.EPERM):
        return PermissionDenied(
            "this user may not use it",
            step=CONNECT,
            path=path,
            errno=number,
            hint='use sudo, or: sudo usermod -aG corten "$USER" (then log in again)',
        )
    return Unavailable(
        "it is not running",
        step=CONNECT,
        path=path,
        errno=number,
        hint="start it: sudo systemctl start corten (or: sudo cortend)",
    )


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        posix.close(fd)
