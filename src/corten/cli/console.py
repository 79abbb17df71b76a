"""The worker's side of the conversation with its thin client.

Outside of an attached stream the worker is busy elsewhere (waiting for the daemon,
printing): messages of the client then arrive as ``SIGIO`` and raise where the worker is.
While a stream is attached they are read from the socket by whoever polls it.
"""

from __future__ import annotations

import array
import fcntl
import os
import select
import signal
import socket
from types import FrameType

from corten.cli import wire

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Interrupted(BaseException):
    """The user sent a signal that ends the command. Not an Exception: nobody handles it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class ClientGone(BaseException):
    """The thin client has died; nobody is left to work for."""


class Console:
    """Orders to the thin client and what comes back.

    Arguments:
        sock: the connection to the client; owned.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self._attached = False
        self._lingers = False  # the client still serves a stream that has ended

    def listen(self) -> None:
        """From now on a signal of the user's raises :class:`Interrupted`."""
        signal.signal(signal.SIGIO, self._on_message)
        fcntl.fcntl(self._sock, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(self._sock, fcntl.F_GETFL)
        fcntl.fcntl(self._sock, fcntl.F_SETFL, flags | os.O_ASYNC)
        self._on_message(signal.SIGIO, None)  # what came before the handler was there

    def hold(self) -> None:
        """From now on signals of the user's wait for whoever reads :meth:`messages`."""
        signal.signal(signal.SIGIO, signal.SIG_IGN)

    def fileno(self) -> int:
        """For ``poll`` while a stream is attached."""
        return self._sock.fileno()

    def attach(
        self, fd: int, *, tty: bool, stdin: bool, proxy: bool, keys: bytes, screen: bool = False
    ) -> None:
        """Hand a stream to the client, which copies until it ends; closes ``fd`` here."""
        self.hold()
        if self._lingers:
            self._attached = True
            self.release()
            self.hold()
        self._attached = True
        flags = wire.TTY * tty | wire.STDIN * stdin | wire.PROXY * proxy
        flags |= wire.SCREEN * screen
        data = wire.message(wire.ATTACH, bytes((flags,)) + keys)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))
        try:
            self._sock.sendmsg([data], [rights])
        except OSError:
            raise ClientGone from None
        finally:
            os.close(fd)

    def returned(self) -> None:
        """The client has said that the stream has ended (or that the keys were typed), and has
        given the terminal back by itself: signals raise again."""
        self._attached, self._lingers = False, True
        self.messages()  # those that came before were for the process
        self.listen()

    def release(self) -> None:
        """Take the terminal back before the stream has ended; then signals raise again."""
        self._send(wire.RELEASE, b"")
        while self._attached:
            for kind, payload in self._wait():
                if kind == wire.DONE and payload == b"r":
                    self._attached = self._lingers = False
        self.listen()

    def _wait(self) -> list[tuple[bytes, bytes]]:
        poll = select.poll()
        poll.register(self._sock.fileno(), select.POLLIN)
        poll.poll()
        return self.messages()

    def messages(self) -> list[tuple[bytes, bytes]]:
        """What has come; does not block. Raises ClientGone."""
        self._pump()
        found = []
        while (message := wire.take(self._buffer)) is not None:
            found.append(message)
        return found

    def exit(self, code: int) -> None:
        """The last order."""
        self._send(wire.EXIT, bytes((code & 0xFF,)))

    def refuse(self, reason: str) -> None:
        """Let the client run the command line itself."""
        self._send(wire.REFUSE, reason.encode())

    def _send(self, kind: bytes, payload: bytes) -> None:
        try:
            self._sock.sendall(wire.message(kind, payload))
        except OSError:
            raise ClientGone from None

    def _pump(self) -> None:
        while True:
            try:
                data = self._sock.recv(4096, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                raise ClientGone
            self._buffer += data

    def _on_message(self, _number: int, _frame: FrameType | None) -> None:
        for kind, payload in self.messages():
            # a client that still forwards all of them means these
            if kind == wire.SIGNAL and payload[0] in _ENDING:
                raise Interrupted(payload[0])
