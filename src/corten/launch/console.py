"""The socket over which an OCI runtime's program hands out a terminal's master."""

from __future__ import annotations

import os
from _socket import AF_UNIX, SO_RCVTIMEO, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET
from _socket import socket as Socket
from _struct import pack

from corten.errors import Unavailable
from corten.kernel.sockets import recv_packet

_TIMEOUT = 10  # seconds; the program has ended, what it sent is there


class ConsoleSocket:
    """Listens below a short name: an address holds 107 bytes, a run directory may be longer."""

    def __init__(self, run_dir: str) -> None:
        self._name = f"{run_dir}/console.sock"
        self._directory = os.open(run_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._sock = Socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        self._remove()
        self._sock.bind(f"/proc/self/fd/{self._directory}/console.sock")
        self._sock.listen(1)
        self._sock.setsockopt(SOL_SOCKET, SO_RCVTIMEO, pack("ll", _TIMEOUT, 0))

    @property
    def path(self) -> str:
        """What the program is given: our descriptor, seen from another process."""
        if len(self._name) < 100:
            return self._name
        return f"/proc/{os.getpid()}/fd/{self._directory}/console.sock"

    def receive(self) -> int:
        """The master that the program sent.

        Raises:
            Unavailable: it sent none.
        """
        try:
            fd, _ = self._sock._accept()  # type: ignore[attr-defined]  # unknown to typeshed
            connection = Socket(fileno=fd)
            try:
                connection.setsockopt(SOL_SOCKET, SO_RCVTIMEO, pack("ll", _TIMEOUT, 0))
                _, fds = recv_packet(connection, 4096, 4)
            finally:
                connection.close()
        except OSError as error:
            raise Unavailable(f"no terminal came: {error.strerror}", step="console") from None
        for extra in fds[1:]:
            os.close(extra)
        if not fds:
            raise Unavailable("the runtime sent no terminal", step="console")
        return fds[0]

    def close(self) -> None:
        """Close and unlink."""
        self._sock.close()
        self._remove()
        os.close(self._directory)

    def _remove(self) -> None:
        try:
            os.unlink("console.sock", dir_fd=self._directory)
        except FileNotFoundError:
            pass
