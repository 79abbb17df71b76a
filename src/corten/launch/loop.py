"""A poll loop: callbacks for descriptors, and a few timers."""

from __future__ import annotations

import os
from select import POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, poll
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    OnEvent = Callable[[int], None]

READ = POLLIN
WRITE = POLLOUT
GONE = POLLERR | POLLHUP | POLLNVAL


class Timer:
    """A call that is due once; :meth:`cancel` takes it back."""

    __slots__ = ("call", "due")

    def __init__(self, due: float, call: Callable[[], None] | None) -> None:
        self.due = due
        self.call = call

    def cancel(self) -> None:
        """Nothing will be called any more."""
        self.call = None


class Loop:
    """One per process. A callback gets the ready events; one that raises ends the process's
    work, so callbacks handle what may go wrong themselves."""

    def __init__(self) -> None:
        self._poll = poll()
        self._calls: dict[int, OnEvent] = {}
        self._timers: list[Timer] = []
        self.running = True

    def watch(self, fd: int, events: int, call: OnEvent) -> None:
        """Call ``call(events)`` when ``fd`` is ready; replaces what was set for it.

        With ``events`` 0 only its end (``GONE``) is told."""
        self._poll.register(fd, events)
        self._calls[fd] = call

    def forget(self, fd: int) -> None:
        """Stop watching; must come before the descriptor is closed. Idempotent."""
        if self._calls.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def close(self, fd: int) -> None:
        """Stop watching and close."""
        self.forget(fd)
        os.close(fd)

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call ``call`` once, after so many seconds."""
        timer = Timer(monotonic() + seconds, call)
        self._timers.append(timer)
        return timer

    def run(self) -> None:
        """Until ``running`` is false."""
        while self.running:
            self.turn()

    def turn(self, patience: float = -1) -> bool:
        """Wait once and call what is due; False: there was nothing for ``patience`` seconds
        (negative: for ever)."""
        ready = self._poll.poll(self._timeout(patience))
        for fd, events in ready:
            call = self._calls.get(fd)  # an earlier callback may have forgotten it
            if call is not None:
                call(events)
        if self._timers:
            self._run_timers()
            return True
        return bool(ready)

    @property
    def due(self) -> bool:
        """Something is to be called later."""
        return any([timer.call is not None for timer in self._timers])

    def _timeout(self, patience: float) -> int | None:
        due = [timer.due for timer in self._timers if timer.call is not None]
        if not due:
            return None if patience < 0 else int(patience * 1000)
        return max(0, int((min(due) - monotonic()) * 1000) + 1)

    def _run_timers(self) -> None:
        now = monotonic()
        ready = [timer for timer in self._timers if timer.due <= now]
        self._timers = [timer for timer in self._timers if timer.due > now and timer.call]
        for timer in ready:
            if timer.call is not None:
                timer.call()
