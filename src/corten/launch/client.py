"""The engine's side: connections to launcher and monitors, without waiting, without asyncio.

A :class:`Connection` has a ``fileno()``; a driver calls :meth:`Connection.receive` when it
is readable, and :meth:`Connection.flush` when it is writable while ``pending`` is true.

A container's life, as the driver sees it::

    launcher = spawn_launcher(...)
    monitor = launcher.connection.create(Create(...), fds)   # a Connection
    # launcher's Reply: Forked, descriptor "pidfd"; monitor's first Reply (id 0): Created
    monitor.send(Attach(stdin=True)); monitor.send(Start())
    # Events "start", "exit" (persisted and drained), then end of file: all is cleaned up
"""

from __future__ import annotations

import errno
import fcntl
import os
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_SEQPACKET
from _socket import socket as Socket

from corten import errors
from corten.errors import CortenError, DataLoss, FailedPrecondition, NotFound, Unavailable
from corten.kernel.sockets import seqpacket_pair
from corten.launch import messages, wire
from corten.launch.messages import (
    Create,
    CreatePod,
    CreateResolver,
    Fill,
    Message,
    MonitorState,
)
from corten.spec.jsonlite import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Reply:
    """The answer to one request.

    Attributes:
        id: what :meth:`Connection.send` returned (``CREATE_ID``: a new monitor's first).
        ok: the fields of the reply, or None if the other side answered with an error.
        error: that error; or, beside ``ok``, that this process had no room for the descriptors.
        fds: descriptors, the receiver's from now on.
    """

    __slots__ = ("error", "fds", "id", "ok")

    def __init__(
        self, id: int, ok: dict[str, Any] | None, error: CortenError | None, fds: dict[str, int]
    ) -> None:
        self.id = id
        self.ok = ok
        self.error = error
        self.fds = fds

    def result(self) -> dict[str, Any]:
        """The fields; raises the error if there was one."""
        if self.error is not None:
            raise self.error
        return self.ok or {}

    def close_fds(self) -> None:
        """Close the descriptors of a reply that nobody wants any more."""
        for fd in self.fds.values():
            os.close(fd)
        self.fds.clear()


class Event:
    """Something happened; ``data`` is the message that ``messages.EVENTS`` names for
    ``name`` (None where a newer monitor tells something unknown: ``raw`` has it)."""

    __slots__ = ("data", "name", "raw")

    def __init__(self, name: str, raw: dict[str, Any]) -> None:
        self.name = name
        self.raw = raw
        cls = messages.EVENTS.get(name)
        self.data = messages.read(cls, raw) if cls is not None else None


class Connection:
    """One ``SOCK_SEQPACKET`` connection to a launcher or monitor; takes ``sock`` over."""

    def __init__(self, sock: Socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._receiver = wire.Receiver(sock)
        self._queue: list[tuple[bytes, list[int]]] = []
        self._next = messages.CREATE_ID + 1
        self.closed = False

    def fileno(self) -> int:
        """The socket; -1 when closed."""
        return self._sock.fileno()

    @property
    def pending(self) -> bool:
        """Requests wait for the socket to become writable (then call :meth:`flush`)."""
        return bool(self._queue)

    def send(self, request: Message, fds: dict[str, int] | None = None) -> int:
        """Send a request, or queue it while the socket is full.

        Arguments:
            fds: descriptors by the names that the request's text gives; they stay the
                caller's, who may close them when this returns.
        Returns: the id that the reply will carry.
        Raises:
            Unavailable: the other end is gone. (It may still have replies to receive.)
        """
        number = self._next
        self._next += 1
        data = {"id": number, "op": type(request).op, "args": request.to_dict()}
        packets, spill = wire.encode(data, fds or {})
        try:
            for raw, numbers in packets:
                self._put(raw, numbers)
        finally:
            if spill >= 0:
                os.close(spill)
        return number

    def _put(self, raw: bytes, numbers: list[int]) -> None:
        if not self._queue:
            try:
                wire.send_packet(self._sock, raw, numbers)
                return
            except BlockingIOError:
                pass
        self._queue.append((raw, [_dup(fd) for fd in numbers]))

    def flush(self) -> None:
        """Send what is queued, as far as the socket takes it. Raises Unavailable."""
        while self._queue:
            raw, numbers = self._queue[0]
            try:
                wire.send_packet(self._sock, raw, numbers)
            except BlockingIOError:
                return
            self._queue.pop(0)
            _close_all(numbers)

    def receive(self) -> list[Reply | Event]:
        """Everything that has arrived; at the end of the connection ``closed`` becomes true.

        Raises:
            DataLoss: what came is no message of ours; the connection is of no more use.
        """
        found: list[Reply | Event] = []
        while not self.closed:
            try:
                packet = self._receiver.receive()
            except Unavailable:
                self.closed = True
                break
            if packet is None:
                break
            found.append(_decode(packet))
        return found

    def close(self) -> None:
        """Close the socket; requests under way go on in the other process."""
        self.closed = True
        for _, numbers in self._queue:
            _close_all(numbers)
        self._queue.clear()
        self._receiver.close()
        self._sock.close()


class LauncherConnection(Connection):
    """The launcher's connection, with the requests that fork."""

    def create(
        self,
        request: Create | CreatePod | CreateResolver | Fill,
        fds: dict[str, int] | None = None,
    ) -> tuple[int, Connection]:
        """Send ``create``, ``pod`` or ``fill``.

        Returns: the id of the launcher's reply, and the connection to the new process. Its
            first reply, ``CREATE_ID``, is the outcome; end of file before it: the process
            could not be forked, or was killed.
        """
        mine, theirs = seqpacket_pair()
        try:
            number = self.send(request, {**(fds or {}), "control": theirs.fileno()})
        except BaseException:
            mine.close()
            raise
        finally:
            theirs.close()
        return number, Connection(mine)


def connect_monitor(run_dir: str) -> Connection:
    """Connect to the monitor of ``run_dir`` (of any length).

    Raises:
        NotFound: there is no socket, or nobody listens: the monitor has ended.
        Unavailable: too many connect at this moment; try again.
    """
    sock = Socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK)
    try:
        directory = os.open(run_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # A socket's address holds 107 bytes; a state directory may be longer.
            sock.connect(f"/proc/self/fd/{directory}/monitor.sock")
        finally:
            os.close(directory)
    except OSError as error:
        sock.close()
        if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR):
            raise NotFound("no monitor serves this run directory", path=run_dir) from None
        raise Unavailable(
            f"the monitor does not answer: {error.strerror}",
            step="connect",
            path=run_dir,
            errno=error.errno or 0,
        ) from None
    return Connection(sock)


def read_state(run_dir: str) -> MonitorState | None:
    """What the monitor of ``run_dir`` last wrote; None: nothing.

    Raises:
        FailedPrecondition: another version wrote it, which this one can't read.
    """
    try:
        fd = os.open(f"{run_dir}/state.json", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        data = loads(os.read(fd, os.fstat(fd).st_size), what="state.json")
    finally:
        os.close(fd)
    version = int(data.get("version", 0))
    if not messages.OLDEST_VERSION <= version <= messages.VERSION:
        raise FailedPrecondition(
            f"version {version} of a monitor's state is not supported",
            path=f"{run_dir}/state.json",
            hint="stop the container with the version of Corten that started it",
        )
    return messages.read(MonitorState, data)


def is_locked(run_dir: str) -> bool:
    """Whether a monitor lives in ``run_dir`` (or one is being forked at this moment)."""
    try:
        fd = os.open(f"{run_dir}/lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _decode(packet: wire.Packet) -> Reply | Event:
    data = packet.data
    try:
        if "event" in data:
            return Event(str(data["event"]), data.get("data") or {})
        failure = data.get("error")
        error = errors.from_dict(failure) if failure is not None else None
        if packet.cut:
            error = wire.too_many_files("receive")
        return Reply(int(data["id"]), data.get("ok"), error, packet.fds)
    except (KeyError, TypeError, ValueError) as wrong:
        packet.close()
        raise DataLoss(f"a reply is malformed: {wrong}") from None


def _dup(fd: int) -> int:
    return os.dup(fd)  # close-on-exec, as everything Python opens


def _close_all(numbers: list[int]) -> None:
    for fd in numbers:
        os.close(fd)
