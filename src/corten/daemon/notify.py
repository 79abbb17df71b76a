"""systemd's readiness protocol (sd_notify(3)): one datagram."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Tell the service manager, if one asked for it.

    Arguments:
        state: ``READY=1``, ``STOPPING=1``, ``RELOADING=1`` with what belongs to it.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # the abstract name space
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return  # whoever asked has gone
