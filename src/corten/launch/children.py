"""Reaping: the children somebody waits for, and the orphans that a subreaper gets."""

from __future__ import annotations

import _signal  # `signal` imports enum
import os

from corten.kernel.creds import set_child_subreaper
from corten.launch.loop import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from corten.launch.keeper import Nap
    from corten.launch.loop import Loop
    from corten.launch.runtime import Process


class Children:
    """Makes this process a subreaper. One per process.

    With a keeper: its children are ours, too. Those that were born to an attendant before us
    are its orphans."""

    def __init__(self, loop: Loop, told_to_end: Callable[[], None], nap: Nap | None = None) -> None:
        """``told_to_end``: called, in a turn of the loop, when we got a SIGTERM."""
        self._told_to_end = told_to_end
        self._expected: dict[int, tuple[Process, Callable[[], None]]] = {}
        self._loop = loop
        self._nap = nap
        self._wake, self._theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        set_child_subreaper(True)
        _signal.signal(_signal.SIGCHLD, _nothing)
        _signal.signal(_signal.SIGTERM, _nothing)
        _signal.set_wakeup_fd(self._theirs, warn_on_full_buffer=False)
        loop.watch(self._wake, READ, self._woken)
        if nap is not None:
            loop.watch(nap.fileno(), READ, self._keeper_says)

    def expect(self, process: Process, ended: Callable[[], None]) -> None:
        """Call ``ended`` once, in a later turn of the loop, when the process has ended (and
        was reaped). One that ended before this call is told of as well, unless the loop has
        turned meanwhile."""
        self._expected[process.pid] = (process, ended)

    def close(self) -> None:
        """Reap no more."""
        _signal.signal(_signal.SIGTERM, _signal.SIG_IGN)
        _signal.set_wakeup_fd(-1)
        self._loop.close(self._wake)
        os.close(self._theirs)

    def _woken(self, _events: int) -> None:
        if _signal.SIGTERM in os.read(self._wake, 4096):  # a byte for each signal
            self._told_to_end()
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if info is None or info.si_pid == 0:
                return
            process, ended = self._expected.pop(info.si_pid, (None, None))
            if process is not None:
                process.reap()
            else:
                os.waitid(os.P_PID, info.si_pid, os.WEXITED)
            if ended is not None:
                ended()

    def _keeper_says(self, _events: int) -> None:
        assert self._nap is not None
        self.told(self._nap.news())

    def told(self, packet: bytes) -> None:
        """A ``child`` or ``end`` packet of the keeper's."""
        if packet == b"end":
            self._told_to_end()
            return
        words = packet.split()
        if len(words) != 4:  # the keeper is gone, and in a moment so are we
            return
        _, pid, code, status = words
        process, ended = self._expected.pop(int(pid), (None, None))
        if process is not None and ended is not None:
            process.reaped(int(code), int(status))
            ended()


def _nothing(_signal: int, _frame: object) -> None:
    """A handler has to be there, so that the wake-up descriptor is written to."""
