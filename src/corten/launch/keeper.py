"""The process that a container's monitor is while nothing happens.

A monitor that works has a copy of every page that it writes, two megabytes of them, and
never gives one back. So a monitor is two processes. The *keeper* is the one that lasts: its
process id is the monitor's, it is the subreaper of everything in the container, it dies
with nobody but the container, and it does as good as nothing: it waits. Whatever happens is
for the *attendant*, a fork of the keeper with the whole of ``monitor`` in it. An attendant
that has had nothing to do for a while hands its descriptors to the keeper and ends; the
keeper watches them and forks another when one of them turns ready, or when a child ended.

Over the channel between the two, one packet each:

============================ ========= ====================================================
``name TEXT``                attendant the keeper's name for ``ps`` from now on
``rest SEEN WATCHED STATE``  attendant rest, descriptors beside it: the first WATCHED of
                                       them are for the keeper's poll; SEEN is how many
                                       packets of it have been read
``yes`` or ``no``            keeper    the answer: the attendant ends, or goes on
``child PID CODE STATUS``    keeper    an orphan of the container's has ended (``waitid``)
``end``                      keeper    it got a SIGTERM: the container is to be stopped
``over``                     attendant the container is gone, and so may the monitor
============================ ========= ====================================================

An attendant that ends otherwise takes its keeper along: that is a monitor that was killed.
"""

from __future__ import annotations

import _signal  # `signal` imports enum
import os
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socketpair
from select import POLLIN, poll

from corten.kernel.creds import set_child_subreaper, set_pdeathsig
from corten.kernel.sockets import Cut, recv_packet, send_packet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Socket
    from collections.abc import Callable
    from select import poll as Poll
    from typing import NoReturn

    # what an attendant does: its channel, what the last one left (with the descriptors),
    # the children that ended meanwhile
    Attend = Callable[[Socket, bytes, list[int], list[bytes]], None]

MAX_STATE = 60_000  # bytes: a packet's, with room to spare
_MAX_FDS = 200
_TIMES = 12
_AGAIN = 100  # milliseconds until the next attempt to fork


def keep(attend: Attend) -> NoReturn:
    """Be the keeper, until the container is over.

    Functions with local variables that call CPython's own: whatever is used, even once, lies on
    a page that is our own for the rest of the container's life. (As a class with methods, which
    called ``corten.kernel``, it owned half as much again.)

    Arguments:
        attend: what a fork does; it never returns from it.
    """
    polled, wake, theirs = _prepare()
    keeper = os.getpid()
    pair = _pair()
    if not pair:
        os._exit(1)  # nobody knows us yet
    channel: Socket | None = None
    attendant = sent = watched = 0
    stir, named = True, False
    state = b""  # what the attendant left; empty as long as it has left nothing
    fds: list[int] = []
    news: list[bytes] = []  # packets for it, or for the next one
    while True:
        if not attendant and (stir or news):
            try:
                attendant = os.fork()
            except OSError:  # no memory, too many processes: what waits for it goes on waiting
                if not state:  # the first one of all: nobody knows us yet
                    raise
                poll().poll(_AGAIN)
                continue
            channel, other = pair
            if not attendant:
                channel.close()
                _be_attendant(attend, keeper, wake, theirs, other, state, fds, news)
            other.close()
            polled.register(channel.fileno(), POLLIN)
            for number, fd in enumerate(fds):
                if number < watched:
                    polled.unregister(fd)
                os.close(fd)
            pair, sent, watched, state, fds, news = (), 0, 0, b"", [], []
        ready = [fd for fd, _ in polled.poll()]
        stir = not attendant and ready != [wake]
        ended: list[tuple[int, bytes]] = []
        if channel is not None and channel.fileno() in ready:
            data, passed = _hear(channel)
            named = named or data.startswith(b"name ")
            if data.startswith(b"rest "):
                pair = pair or _pair()
                state, fds, watched = _rest(channel, data, passed, sent if pair else -1)
            elif not data:
                # It is ending. Waited for, as the signal that tells of it was lost before now.
                ended.append((os.waitpid(attendant, 0)[0], b""))
        if wake in ready:
            ended += _woken(wake, named)
        for pid, packet in ended:
            if pid != attendant:
                news.append(packet)
                continue
            if not state:
                os._exit(1)
            if channel is not None:
                polled.unregister(channel.fileno())
            attendant, channel = 0, None
            for fd in fds[:watched]:
                polled.register(fd, POLLIN)
        if news and channel is not None and not state:
            sent += _tell(channel, news)
            news = []


def _pair() -> tuple[Socket, ...]:
    """The next channel. Made before it is needed: whoever sleeps when there are no descriptors
    left must be woken all the same. Empty: there are none."""
    try:
        return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
    except OSError:
        return ()


def _prepare() -> tuple[Poll, int, int]:
    """What ``poll`` will tell of signals by, and both ends of it."""
    polled = poll()
    wake, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    set_child_subreaper(True)
    _signal.signal(_signal.SIGCHLD, _nothing)
    _signal.signal(_signal.SIGTERM, _nothing)
    _signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    polled.register(wake, POLLIN)
    return polled, wake, theirs


def be_called(name: bytes) -> None:
    """Have this name for ``ps``."""
    fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, name)
    os.close(fd)


def _be_attendant(
    attend: Attend,
    keeper: int,
    wake: int,
    theirs: int,
    channel: Socket,
    state: bytes,
    fds: list[int],
    news: list[bytes],
) -> NoReturn:
    try:
        set_pdeathsig(_signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)
        _signal.set_wakeup_fd(-1)
        os.close(wake)
        os.close(theirs)
        attend(channel, state, fds, news)
    finally:
        os._exit(1)


def _hear(channel: Socket) -> tuple[bytes, list[int]]:
    """A packet and its descriptors; empty: the attendant is gone."""
    try:
        data, fds = recv_packet(channel, 1 << 16, _MAX_FDS)
    except Cut:
        channel.send(b"no")  # no room for its descriptors
        return b"no", []
    if data.startswith(b"name "):
        be_called(data[5:])
    elif data == b"over":
        os._exit(0)
    return data, fds


def _rest(channel: Socket, data: bytes, fds: list[int], sent: int) -> tuple[bytes, list[int], int]:
    """Let the attendant rest, or not: what it leaves, and how many of the descriptors are to be
    watched.

    Arguments:
        sent: packets that it has to have seen; -1: another one could not be woken.
    """
    _, seen, watched, state = data.split(b" ", 3)
    if int(seen) == sent:
        channel.send(b"yes")
        return state, fds, int(watched)
    for fd in fds:  # there is something that it does not know yet
        os.close(fd)
    channel.send(b"no")
    return b"", [], 0


def _woken(wake: int, named: bool) -> list[tuple[int, bytes]]:
    """The children that have ended, each with the packet that tells of it; -1 and ``end``: a
    SIGTERM."""
    found = []
    if _signal.SIGTERM in os.read(wake, 4096):  # a byte for each signal
        if not named:  # there is no container yet
            os._exit(0)
        found.append((-1, b"end"))
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not pid:
            return found
        # as waitid(2) tells it: CLD_EXITED, CLD_KILLED, CLD_DUMPED
        code = 1 if not status & 127 else 3 if status & 128 else 2
        how = status >> 8 if code == 1 else status & 127
        found.append((pid, b"child %d %d %d" % (pid, code, how)))


def _tell(channel: Socket, news: list[bytes]) -> int:
    """Send packets; how many."""
    for packet in news:
        try:
            channel.send(packet)
        except OSError:
            pass  # it has ended, and so shall we
    return len(news)


def rehearse(name: bytes) -> None:
    """In the template: use what a keeper uses, until the interpreter has nothing more to write
    down about it (bytecode is specialised after eight calls, methods are found once).

    Arguments:
        name: ours.
    """
    for _ in range(_TIMES):
        mine, theirs = _pair()
        wake, signalled = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        polled = poll()
        polled.register(mine.fileno(), POLLIN)
        _tell(theirs, [b"name " + name, b"rest 0 1 {}", b"rest 1 1 {}"])
        os.write(signalled, b"\x11")
        while mine.fileno() in [fd for fd, _ in polled.poll(0)]:
            data, fds = _hear(mine)
            if data.startswith(b"rest "):
                _rest(mine, data, fds, 0)
        polled.unregister(mine.fileno())
        _woken(wake, True)
        os.close(wake)
        os.close(signalled)


class Nap:
    """The attendant's side of the channel."""

    __slots__ = ("_channel", "_seen", "unread")

    def __init__(self, channel: Socket) -> None:
        self._channel = channel
        self._seen = 0
        self.unread: list[bytes] = []  # what came ahead of a "no"

    def fileno(self) -> int:
        """Readable when :meth:`news` has something."""
        return self._channel.fileno()

    def name(self, name: str) -> None:
        """Name the keeper."""
        send_packet(self._channel, b"name " + name.encode())

    def news(self) -> bytes:
        """A ``child`` or ``end`` packet; empty: the keeper is gone."""
        data, _ = recv_packet(self._channel)
        self._seen += 1
        return data

    def rest(self, state: bytes, watched: list[int], held: list[int]) -> bool:
        """Leave everything to the keeper; False: go on, something has come up
        (:attr:`unread`, perhaps)."""
        if len(state) > MAX_STATE or len(watched) + len(held) > _MAX_FDS:
            return False
        head = b"rest %d %d " % (self._seen, len(watched))
        try:
            send_packet(self._channel, head + state, watched + held)
        except OSError:
            return False
        while True:
            data, _ = recv_packet(self._channel)
            if data in (b"yes", b"no", b""):
                return data == b"yes"
            self._seen += 1
            self.unread.append(data)

    def over(self) -> None:
        """Nothing is left to keep."""
        send_packet(self._channel, b"over")


def _nothing(_signal: int, _frame: object) -> None:
    """A handler has to be there, so that the wake-up descriptor is written to."""
