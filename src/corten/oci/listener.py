"""Handing the descriptor of seccomp notifications to whoever answers them
(config-linux.md, "The Container Process State")."""

from __future__ import annotations

import posix
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket

from corten.errors import Internal
from corten.kernel.sockets import send_packet
from corten.oci.failure import failed
from corten.spec import jsonlite
from corten.spec.runtime import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.oci.seccomp.program import Program


def hand_over(program: Program | None, fd: int, state: dict[str, Any], pid: int) -> None:
    """Send the descriptor and the state to ``listenerPath``; closes ``fd``.

    Raises:
        CortenError: nobody listens there.
    """
    try:
        if program is None:
            raise Internal("a notification descriptor without a filter", step="seccomp")
        document = {
            "ociVersion": VERSION,
            "fds": ["seccompFd"],
            "pid": pid,
            "metadata": program.listener_metadata,
            "state": state,
        }
        sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
        try:
            sock.connect(program.listener_path)
            send_packet(sock, jsonlite.dumpb(document), [fd])
        except OSError as error:
            raise failed(
                "failed to connect with seccomp agent", error, path=program.listener_path
            ) from None
        finally:
            sock.close()
    finally:
        posix.close(fd)
