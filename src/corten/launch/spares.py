"""Monitors forked ahead: the fork of a monitor, the fork of its attendant and the pages that
they write first take some milliseconds, which no request has to wait for."""

from __future__ import annotations

import _signal  # `signal` imports enum
import os

from corten.errors import Unavailable
from corten.kernel.process import clone3, start_time
from corten.kernel.sockets import seqpacket_pair
from corten.launch import container, wire
from corten.launch.forked import become_monitor
from corten.launch.keeper import Keeper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Socket
    from typing import Any, NoReturn


class Spare:
    """A monitor that waits for its container. It ends with the launcher, or when this is
    closed."""

    __slots__ = ("_orders", "pid", "pidfd")

    def __init__(self, pid: int, pidfd: int, orders: Socket) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self._orders = orders

    @property
    def start_time(self) -> int:
        """Clock ticks since boot; 0: it has ended already."""
        try:
            return start_time(self.pid)
        except OSError:
            return 0

    def give(self, data: dict[str, Any], fds: dict[str, int]) -> None:
        """Give it a request, as it came; its descriptors stay the caller's.

        Raises:
            Unavailable: it was killed, and has not got it.
        """
        packets, spill = wire.encode(data, fds)
        try:
            for raw, numbers in packets:
                wire.send_packet(self._orders, raw, numbers)
        finally:
            if spill >= 0:
                os.close(spill)

    def close(self) -> None:
        """Let go of it."""
        self._orders.close()
        os.close(self.pidfd)


class Spares:
    """One is always there, as far as there is time for it."""

    def __init__(self, host_mount_ns: int) -> None:
        self._host = host_mount_ns
        self._next: Spare | None = None

    def refill(self) -> None:
        """Fork the next one, if there is none."""
        if self._next is None:
            self._next = self._fork()

    def give(self, data: dict[str, Any], fds: dict[str, int]) -> Spare:
        """Give a request to a monitor; the caller closes it.

        Raises:
            OSError: none could be forked.
            Unavailable: whatever is forked is killed.
        """
        ready, self._next = self._next, None
        for spare in (ready, None):
            spare = spare or self._fork()
            try:
                spare.give(data, fds)
                return spare
            except Unavailable:
                spare.close()
                if ready is None:
                    raise
                ready = None
        raise Unavailable("a monitor was killed before its first order", step="create")

    def _fork(self) -> Spare:
        mine, theirs = seqpacket_pair()
        try:
            pid, pidfd = clone3()
        except BaseException:
            mine.close()
            theirs.close()
            raise
        if pid == 0:
            _be_monitor(theirs, self._host)
        theirs.close()
        return Spare(pid, pidfd, mine)


def _be_monitor(orders: Socket, host_mount_ns: int) -> NoReturn:
    try:
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        _signal.signal(_signal.SIGTERM, _signal.SIG_IGN)
        become_monitor("corten-spare", [orders.fileno()], host_mount_ns)
        Keeper(
            lambda channel, state, fds, ended: container.attend(orders, channel, state, fds, ended)
        ).run()
    finally:
        os._exit(1)
