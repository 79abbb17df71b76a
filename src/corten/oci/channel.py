"""The conversation between a container's parent and its init: typed packets, never positions.

One JSON object a packet over SOCK_SEQPACKET, ``{"kind": …}``, descriptors beside it.
The kinds and who sends them:

=========== ======= ============================================================
``mapped``  parent  init cloned by a helper is known, its user namespace has its id maps
``child``   helper  ``pid`` of init (as the helper's PID namespace counts), its pidfd beside
``hooks``   init    mounts are done: run the hooks of the runtime namespace, answer ``go``
``go``      parent  go on
``console`` init    the pseudoterminal's master beside
``listener`` init   the seccomp notification descriptor beside
``ready``   init    all is done but the program; ``steps`` with their microseconds
``start``   parent  execute the program; errors come back here, success closes the channel
``wait``    parent  wait for a connection on the listening socket instead
``error``   init    ``error`` as :meth:`corten.errors.CortenError.to_dict`; init has ended
=========== ======= ============================================================
"""

from __future__ import annotations

import posix

from corten import errors
from corten.kernel.sockets import recv_packet, send_packet, seqpacket_pair
from corten.spec import jsonlite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any


class Channel:
    """One end. It owns its socket."""

    __slots__ = ("_sock",)

    def __init__(self, sock: socket) -> None:
        self._sock = sock

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()

    def detach(self) -> int:
        """Give the descriptor to the caller."""
        return self._sock.detach()

    def send(self, kind: str, *fds: int, **fields: Any) -> None:
        """Send one message; EPIPE where the peer is gone."""
        send_packet(self._sock, jsonlite.dumpb({"kind": kind, **fields}), fds)

    def send_error(self, error: errors.CortenError) -> None:
        """Tell the parent why init ends; nobody is left to tell where that fails too."""
        try:
            self.send("error", error=error.to_dict())
        except OSError:
            pass

    def receive(self) -> tuple[dict[str, Any], list[int]] | None:
        """The next message and its descriptors; None when the peer has gone.

        Raises:
            CortenError: the one that an ``error`` message carries.
        """
        try:
            data, fds = recv_packet(self._sock, 65536, 8)
        except ConnectionResetError:
            return None
        if not data:
            return None
        message: dict[str, Any] = jsonlite.loads(data, what="message of init")
        if message.get("kind") == "error":
            for fd in fds:
                posix.close(fd)
            raise errors.from_dict(message["error"])
        return message, fds

    def expect(self, *kinds: str) -> str | None:
        """The kind of the next message, which must be one of ``kinds``; None: peer gone."""
        answer = self.receive()
        if answer is None:
            return None
        kind = str(answer[0]["kind"])
        if kind not in kinds:
            raise errors.Internal(f"message {kind} where {' or '.join(kinds)} was due")
        return kind


def channel_pair() -> tuple[Channel, Channel]:
    """The parent's and the child's end."""
    ours, theirs = seqpacket_pair()
    return Channel(ours), Channel(theirs)
