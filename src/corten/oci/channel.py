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
from corten.kernel._call import call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Socket
    from typing import Any


_MOST_FDS = 64
_LONGEST = 65536  # bytes of a packet
_MSG_NOSIGNAL = 0x4000
_ESCAPES = {
    **{number: f"\\u{number:04x}" for number in range(32)},
    34: '\\"',
    92: "\\\\",
}


class Channel:
    """One end: the descriptor of a SOCK_SEQPACKET socket, which it owns.

    Packets without descriptors pass by the bare calls: a fresh init, which gets no others, need
    not import ``_socket`` (0.2 ms).
    """

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __del__(self) -> None:
        self.close()

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        """Idempotent."""
        if self._fd >= 0:
            posix.close(self.detach())

    def detach(self) -> int:
        """Give the descriptor to the caller."""
        fd, self._fd = self._fd, -1
        return fd

    def send(self, kind: str, *fds: int, **fields: Any) -> None:
        """Send one message; EPIPE where the peer is gone."""
        data = _encode({"kind": kind, **fields})
        if fds:
            self.pass_on(data, fds)
        else:
            self.write(data)

    def send_error(self, error: errors.CortenError) -> None:
        """Tell the parent why init ends; nobody is left to tell where that fails too."""
        try:
            self.send("error", error=error.to_dict())
        except OSError:
            pass

    def receive(self, *, descriptors: bool = True) -> tuple[dict[str, Any], list[int]] | None:
        """The next message and its descriptors; None when the peer has gone.

        Arguments:
            descriptors: False where none can come: a fresh ``run`` does without ``_socket`` then.
        Raises:
            CortenError: the one that an ``error`` message carries.
        """
        data, fds = self.take() if descriptors else (self.read(), [])
        return (_decode(data, fds), fds) if data else None

    def expect(self, *kinds: str) -> str | None:
        """The kind of the next message, which must be one of ``kinds`` and has no descriptors;
        None: peer gone."""
        data = self.read()
        if not data:
            return None
        kind = str(_decode(data, [])["kind"])
        if kind not in kinds:
            raise errors.Internal(f"message {kind} where {' or '.join(kinds)} was due")
        return kind

    # --- packets that are no messages -----------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send one packet; EPIPE where the peer is gone."""
        call("sendto", None, self._fd, data, len(data), _MSG_NOSIGNAL, None, 0)

    def read(self) -> bytes:
        """The next packet; empty when the peer has gone. Descriptors beside it are lost."""
        try:
            return posix.read(self._fd, _LONGEST)
        except ConnectionResetError:
            # said once, ahead of what the peer had sent: see corten.kernel.sockets.recv_packet
            return posix.read(self._fd, _LONGEST)

    def pass_on(self, data: bytes, fds: tuple[int, ...]) -> None:
        """Send one packet with descriptors."""
        from corten.kernel.sockets import send_packet

        sock = socket(self._fd)
        try:
            send_packet(sock, data, fds)
        finally:
            sock.detach()

    def take(self) -> tuple[bytes, list[int]]:
        """The next packet and its descriptors; empty when the peer has gone."""
        from corten.kernel.sockets import recv_packet

        sock = socket(self._fd)
        try:
            return recv_packet(sock, _LONGEST, _MOST_FDS)
        except ConnectionResetError:
            return b"", []
        finally:
            sock.detach()


def socket(fd: int) -> Socket:
    """A descriptor as CPython's object, which closes it unless detached."""
    from _socket import socket

    return socket(fileno=fd)


def _encode(message: dict[str, Any]) -> bytes:
    # a lone surrogate, of a file name that is no UTF-8, becomes JSON's escape
    return _json(message).encode("utf-8", "backslashreplace")


def _json(value: Any) -> str:
    """JSON without ``_json``, which a fresh init would have to load for a single packet."""
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    if isinstance(value, dict):
        return "{" + ",".join([f"{_json(k)}:{_json(v)}" for k, v in value.items()]) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([_json(item) for item in value]) + "]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return repr(value)


def _decode(data: bytes, fds: list[int]) -> dict[str, Any]:
    # what init is told has no fields, and init may not import any more
    if data.startswith(b'{"kind":"') and data.endswith(b'"}') and data.count(b'"') == 4:
        return {"kind": data[9:-2].decode()}
    from corten.spec import jsonlite

    message: dict[str, Any] = jsonlite.loads(data, what="message of init")
    if message.get("kind") == "error":
        for fd in fds:
            posix.close(fd)
        error = errors.from_dict(message["error"])
        error.from_init = True
        raise error
    return message


def channel_pair() -> tuple[Channel, Channel]:
    """The parent's and the child's end."""
    from corten.kernel.sockets import seqpacket_pair

    ours, theirs = seqpacket_pair()
    return Channel(ours.detach()), Channel(theirs.detach())
