"""The monitor's side of its socket: connections, requests in, replies and events out."""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_SEQPACKET
from _socket import socket as Socket

from corten.errors import CortenError, Internal, Unavailable, exhausted
from corten.kernel.sockets import peer_credentials
from corten.launch import wire
from corten.launch.loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from corten.launch.loop import Loop

    Handler = Callable[["Peer", "Request"], None]

_QUEUE_LIMIT = 1000  # packets a peer may leave unread before it is dropped


class Request:
    """One request; :meth:`Peer.reply` or :meth:`Peer.fail` answers it, now or later."""

    __slots__ = ("args", "id", "op", "packet")

    def __init__(self, packet: wire.Packet) -> None:
        self.packet = packet
        self.id = int(packet.data.get("id", -1))
        self.op = str(packet.data.get("op", ""))
        args = packet.data.get("args")
        self.args: dict[str, Any] = args if isinstance(args, dict) else {}


class Peer:
    """One connection."""

    __slots__ = ("_handler", "_loop", "_queue", "_receiver", "gone", "sock", "subscribed")

    def __init__(self, loop: Loop, sock: Socket, handler: Handler) -> None:
        sock.setblocking(False)
        self._loop = loop
        self._handler = handler
        self._receiver = wire.Receiver(sock)
        self._queue: list[wire.RawPacket] = []
        self.sock = sock
        self.subscribed = False
        self.gone: Callable[[Peer], None] | None = None
        loop.watch(sock.fileno(), READ, self._ready)

    def reply(self, id: int, ok: dict[str, Any], fds: dict[str, int] | None = None) -> None:
        """Answer a request; the descriptors stay the caller's."""
        self._send({"id": id, "ok": ok}, fds or {})

    def fail(self, id: int, error: CortenError) -> None:
        """Answer a request with an error."""
        self._send({"id": id, "error": error.to_dict()}, {})

    def event(self, name: str, data: dict[str, Any]) -> None:
        """Tell a subscriber something; nothing for others."""
        if self.subscribed:
            self._send({"event": name, "data": data}, {})

    def close(self) -> None:
        """Close the connection."""
        if self.sock.fileno() < 0:
            return
        self._loop.forget(self.sock.fileno())
        self._receiver.close()
        self.sock.close()
        for _, fds in self._queue:
            _close_all(fds)
        self._queue.clear()
        if self.gone is not None:
            self.gone(self)

    @property
    def pending(self) -> bool:
        """Something was not taken yet."""
        return bool(self._queue)

    @property
    def busy(self) -> bool:
        """In the middle of a message, in or out."""
        return bool(self._queue) or self._receiver.busy

    def _send(self, data: dict[str, Any], fds: dict[str, int]) -> None:
        if self.sock.fileno() < 0:
            return
        packets, spill = wire.encode(data, fds)
        for raw, numbers in packets:
            self._put(raw, numbers)
        if spill >= 0:
            os.close(spill)

    def _put(self, raw: bytes, numbers: list[int]) -> None:
        if not self._queue:
            try:
                wire.send_packet(self.sock, raw, numbers)
                return
            except BlockingIOError:
                self._loop.watch(self.sock.fileno(), READ | WRITE, self._ready)
            except Unavailable:
                return  # the end is read next
        self._queue.append((raw, [os.dup(fd) for fd in numbers]))
        if len(self._queue) > _QUEUE_LIMIT:
            self.close()

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        try:
            while self.sock.fileno() >= 0:
                packet = self._receiver.receive()
                if packet is None:
                    return
                self._handle(packet)
        except CortenError:  # it is gone, or speaks nonsense
            self.close()

    def _flush(self) -> None:
        try:
            while self._queue:
                raw, numbers = self._queue[0]
                wire.send_packet(self.sock, raw, numbers)
                del self._queue[0]
                _close_all(numbers)
        except BlockingIOError:
            return
        except Unavailable:
            self.close()
            return
        self._loop.watch(self.sock.fileno(), READ, self._ready)

    def _handle(self, packet: wire.Packet) -> None:
        request = Request(packet)
        try:
            packet.check()
            self._handler(self, request)
        except CortenError as error:
            self.fail(request.id, error)
        except Exception as error:
            self.fail(request.id, describe(error, request.op))
        finally:
            packet.close()


class Listener:
    """``monitor.sock``: root and the monitor's own user may speak to it."""

    def __init__(
        self, loop: Loop, run_dir: str, accepted: Callable[[Socket], None], fd: int = -1
    ) -> None:
        """``fd``: a socket that listens already, or -1."""
        self._loop = loop
        self._accepted = accepted
        self._sock = Socket(fileno=fd) if fd >= 0 else self._bind(run_dir)
        loop.watch(self._sock.fileno(), READ, self._accept)

    def _bind(self, run_dir: str) -> Socket:
        sock = Socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK)
        directory = os.open(run_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                os.unlink("monitor.sock", dir_fd=directory)
            except FileNotFoundError:
                pass
            # An address holds 107 bytes; run_dir may be longer.
            sock.bind(f"/proc/self/fd/{directory}/monitor.sock")
        finally:
            os.close(directory)
        sock.listen(64)
        return sock

    def fileno(self) -> int:
        """The listening socket's."""
        return self._sock.fileno()

    def _accept(self, _events: int) -> None:
        try:
            fd, _ = self._sock._accept()  # type: ignore[attr-defined]  # unknown to typeshed
        except OSError:  # it went away again, or there is no descriptor left for it
            return
        sock = Socket(fileno=fd)
        _, uid, _ = peer_credentials(sock)
        if uid not in (0, os.geteuid()):
            sock.close()
            return
        self._accepted(sock)

    def close(self) -> None:
        """Stop listening."""
        self._loop.forget(self._sock.fileno())
        self._sock.close()


def describe(error: Exception, step: str) -> CortenError:
    """An error of the kernel's, or a defect of ours, as one of the closed set."""
    if isinstance(error, OSError):
        text, path, number = error.strerror or str(error), str(error.filename or ""), error.errno
        used_up = exhausted(error, step=step, path=path)
        return used_up or Internal(text, step=step, path=path, errno=number or 0)
    return Internal(f"{type(error).__name__}: {error}", step=step)


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
