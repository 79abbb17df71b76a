"""Monitors forked ahead: the fork of a monitor, the fork of its attendant and the pages that
they write first take some milliseconds, which no request has to wait for.

They are forks of the *template*, a process that does nothing else. Whatever a process writes
after a fork is a page that its child has for itself from then on: forked from the launcher,
which reads requests in between, every monitor would own a megabyte more.
"""

from __future__ import annotations

import _signal  # `signal` imports enum
import os
from errno import ESRCH
from select import POLLIN, poll

from corten.errors import Unavailable
from corten.kernel.process import clone3, start_time
from corten.kernel.sockets import recv_packet, send_packet, seqpacket_pair
from corten.launch import container, wire
from corten.launch.forked import become_monitor
from corten.launch.keeper import be_called, keep, rehearse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Socket
    from select import poll as Poll
    from typing import Any, NoReturn

_TRIES = 3  # to fork


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

    def fileno(self) -> int:
        """Readable when it has ended."""
        return self._orders.fileno()

    def close(self) -> None:
        """Let go of it."""
        self._orders.close()
        os.close(self.pidfd)


class Spares:
    """One is always there, as far as there is time for it.

    ``poll`` turns ready for a descriptor of ours when a process of ours was killed; then
    :meth:`refill` puts another in its place."""

    def __init__(self, host_mount_ns: int, poll: Poll) -> None:
        self._host = host_mount_ns
        self._poll = poll
        self._next: Spare | None = None
        self._template: Socket | None = None

    def refill(self) -> None:
        """Fork the next one, if there is none (any more)."""
        template, spare = self._template, self._next
        if template is not None and _ended(template.fileno()):
            self._forget_template(template)
        if spare is not None and _ended(spare.fileno()):
            self._poll.unregister(spare.fileno())
            spare.close()
            self._next = None
        if self._next is None:
            self._next = self._fork()
            self._poll.register(self._next.fileno(), POLLIN)
        elif self._template is None:
            self._template = self._start_template()

    def give(self, data: dict[str, Any], fds: dict[str, int]) -> Spare:
        """Give a request to a monitor; the caller closes it.

        Raises:
            OSError: none could be forked.
            Unavailable: whatever is forked is killed.
        """
        ready, self._next = self._next, None
        if ready is not None:
            self._poll.unregister(ready.fileno())
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
        """Have the template fork one; a template that was killed is replaced."""
        mine, theirs = seqpacket_pair()
        try:
            pid, pidfd = self._ask(theirs) or self._ask(theirs) or (0, -1)
        except BaseException:
            mine.close()
            raise
        finally:
            theirs.close()
        if not pid:
            mine.close()
            raise Unavailable("the template of all monitors is killed", step="fork")
        return Spare(pid, pidfd, mine)

    def _ask(self, orders: Socket) -> tuple[int, int] | None:
        """None: the template was killed, and is forgotten."""
        template = self._template = self._template or self._start_template()
        try:
            send_packet(template, b"fork", [orders.fileno()])
            answer, fds = recv_packet(template)
        except OSError:
            answer, fds = b"", []
        if not answer:
            self._forget_template(template)
            return None
        if not fds:
            raise OSError(int(answer), os.strerror(int(answer)))
        return int(answer), fds[0]

    def _start_template(self) -> Socket:
        mine, theirs = seqpacket_pair()
        try:
            pid, _ = clone3(pidfd=False)
            if pid == 0:
                _be_template(theirs, self._host)
        except BaseException:
            mine.close()
            raise
        finally:
            theirs.close()
        self._poll.register(mine.fileno(), POLLIN)
        return mine

    def _forget_template(self, template: Socket) -> None:
        self._poll.unregister(template.fileno())
        template.close()
        self._template = None


def _ended(fd: int) -> bool:
    """Whether the other side, which never speaks unasked, is gone."""
    ready = poll()
    ready.register(fd, POLLIN)
    return bool(ready.poll(0))


def _be_template(orders: Socket, host_mount_ns: int) -> NoReturn:
    """Fork whenever told to, until the launcher is gone. What monitors do not have of the
    launcher's is let go of here: once, not by each."""
    try:
        become_monitor("corten-template", [orders.fileno()], host_mount_ns)
        rehearse(b"corten-template")
        while True:
            data, fds = recv_packet(orders)
            if not data:
                os._exit(0)
            try:
                pid, pidfd = _fork()
            except OSError as error:
                send_packet(orders, b"%d" % (error.errno or 0))
            else:
                if pid == 0:
                    orders.close()
                    _be_monitor(fds[0])
                send_packet(orders, b"%d" % pid, [pidfd])
                os.close(pidfd)
            os.close(fds[0])
    finally:
        os._exit(1)


def _fork() -> tuple[int, int]:
    """Number and pidfd of a child. By ``os.fork``, of which the child has fewer pages to keep
    than of ``clone3``."""
    for _ in range(_TRIES):
        pid = os.fork()
        if pid == 0:
            return 0, -1
        try:
            return pid, os.pidfd_open(pid)
        except ProcessLookupError:  # somebody has killed it already; the kernel reaps it
            continue
    raise ProcessLookupError(ESRCH, "the new process was killed")


def _be_monitor(orders: int) -> NoReturn:
    try:
        os.setsid()
        be_called(b"corten-spare")
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        _signal.signal(_signal.SIGTERM, _signal.SIG_IGN)
        keep(lambda channel, state, fds, news: container.attend(orders, channel, state, fds, news))
    finally:
        os._exit(1)
