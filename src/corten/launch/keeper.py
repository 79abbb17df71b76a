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
from select import POLLIN, poll

from corten.kernel.creds import set_child_subreaper, set_name, set_pdeathsig
from corten.kernel.process import clone3
from corten.kernel.sockets import Cut, recv_packet, send_packet, seqpacket_pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Socket
    from collections.abc import Callable
    from typing import NoReturn

    # what an attendant does: its channel, what the last one left (with the descriptors),
    # the children that ended meanwhile
    Attend = Callable[[Socket, bytes, list[int], list[bytes]], None]

MAX_STATE = 60_000  # bytes: a packet's, with room to spare
_MAX_FDS = 200
_AGAIN = 0.1  # seconds until the next attempt to fork


class Keeper:
    """One per process, which it is to the end."""

    __slots__ = (
        "_asleep", "_attend", "_attendant", "_channel", "_fds", "_named", "_news", "_poll",
        "_room", "_sent", "_state", "_theirs", "_wake", "_watched",
    )  # fmt: skip

    def __init__(self, attend: Attend) -> None:
        """``attend``: what a fork does; it never returns from it."""
        self._attend = attend
        self._poll = poll()
        self._attendant = 0
        self._channel: Socket | None = None
        self._asleep = False
        self._state = b""
        self._fds: list[int] = []
        self._watched = 0
        self._room: list[int] = []
        self._news: list[bytes] = []
        self._named = False
        self._sent = 0
        self._wake, self._theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        set_child_subreaper(True)
        _signal.signal(_signal.SIGCHLD, _nothing)
        _signal.signal(_signal.SIGTERM, _nothing)
        _signal.set_wakeup_fd(self._theirs, warn_on_full_buffer=False)
        self._poll.register(self._wake, POLLIN)

    def run(self) -> NoReturn:
        """Until the container is over."""
        self._fork()
        while True:
            self.turn()

    def turn(self) -> None:
        """Wait once, for whatever comes."""
        stir = False
        channel = self._channel.fileno() if self._channel is not None else -1
        for fd, _ in self._poll.poll():
            if fd == self._wake:
                self._woken()
            elif fd != channel:
                stir = True
            elif self._channel is not None:  # else its end was found out a moment ago
                self._hear()
        if self._asleep and self._attendant == 0 and (stir or self._news):
            self._fork()

    # --- the attendant -----------------------------------------------------------------

    def _fork(self) -> None:
        """Have an attendant, with everything that the last one left."""
        self._use_room()
        keeper = os.getpid()
        ends: tuple[Socket, ...] = ()
        try:
            mine, theirs = ends = seqpacket_pair()
            pid, _ = clone3(pidfd=False)
        except OSError:  # no memory, too many processes: what waits for it goes on waiting
            for end in ends:
                end.close()
            if not self._asleep:  # the first one of all: nobody knows us yet
                raise
            poll().poll(int(_AGAIN * 1000))
            return
        if pid == 0:
            self._be_attendant(theirs, keeper)
        theirs.close()
        self._attendant = pid
        self._asleep = False
        self._sent = 0
        self._channel = mine
        self._poll.register(mine.fileno(), POLLIN)
        for fd in self._fds[: self._watched]:
            self._poll.unregister(fd)
        for fd in self._fds:
            os.close(fd)
        self._state, self._fds, self._watched, self._news = b"", [], 0, []

    def _be_attendant(self, channel: Socket, keeper: int) -> NoReturn:
        try:
            set_pdeathsig(_signal.SIGKILL)
            if os.getppid() != keeper:
                os._exit(1)
            _signal.set_wakeup_fd(-1)
            os.close(self._wake)
            os.close(self._theirs)
            self._attend(channel, self._state, self._fds, self._news)
        finally:
            os._exit(1)

    def _hear(self) -> None:
        assert self._channel is not None
        try:
            data, fds = recv_packet(self._channel, 1 << 16, _MAX_FDS)
        except Cut:
            send_packet(self._channel, b"no")  # no room for its descriptors
            return
        if data.startswith(b"rest "):
            self._rest(data, fds)
        elif data.startswith(b"name "):
            self._named = True
            set_name(data[5:].decode())
        elif data == b"over":
            os._exit(0)
        else:
            self._poll.unregister(self._channel.fileno())  # its end is told by its parent, us

    def _rest(self, data: bytes, fds: list[int]) -> None:
        assert self._channel is not None
        _, seen, watched, state = data.split(b" ", 3)
        # Either there is something that it does not know yet, or it could not be woken.
        if int(seen) != self._sent or not self._keep_room():
            for fd in fds:
                os.close(fd)
            send_packet(self._channel, b"no")
            return
        self._state, self._fds, self._watched = state, fds, int(watched)
        self._asleep = True
        send_packet(self._channel, b"yes")

    def _keep_room(self) -> bool:
        """Hold the descriptors that the next channel takes: whoever sleeps when there are no more
        must be woken all the same. False: there are none."""
        try:
            while len(self._room) < 2:
                self._room.append(os.dup(self._wake))
        except OSError:
            self._use_room()
            return False
        return True

    def _use_room(self) -> None:
        for fd in self._room:
            os.close(fd)
        self._room.clear()

    def _attendant_ended(self) -> None:
        if not self._asleep:
            os._exit(1)
        self._attendant = 0
        if self._channel is not None:
            try:
                self._poll.unregister(self._channel.fileno())
            except KeyError:
                pass  # its end was seen
            self._channel.close()
            self._channel = None
        for fd in self._fds[: self._watched]:
            self._poll.register(fd, POLLIN)

    # --- children ----------------------------------------------------------------------

    def _woken(self) -> None:
        if _signal.SIGTERM in os.read(self._wake, 4096):  # a byte for each signal
            if not self._named:  # there is no container yet
                os._exit(0)
            self._tell(b"end")
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
            except ChildProcessError:
                return
            if info is None or info.si_pid == 0:
                return
            if info.si_pid == self._attendant:
                self._attendant_ended()
                continue
            self._tell(b"child %d %d %d" % (info.si_pid, info.si_code, info.si_status))

    def _tell(self, packet: bytes) -> None:
        """For the attendant, this one or the next."""
        if self._asleep or self._channel is None:
            self._news.append(packet)
            return
        self._sent += 1
        try:
            send_packet(self._channel, packet)
        except OSError:
            pass  # it has ended, and so shall we


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
