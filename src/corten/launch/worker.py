"""Short-lived forks of a monitor for what needs much memory.

A monitor lives as long as its container, and every page that it writes is its own for
good: parsing a config.json and making a plan would cost each one a megabyte. So a fork
does it and goes; the processes it made become the monitor's children, who is a subreaper.
"""

from __future__ import annotations

import _signal  # `signal` imports enum
import os

from corten.errors import CortenError, Internal
from corten.kernel.creds import set_pdeathsig
from corten.kernel.process import clone3
from corten.launch.forked import keep_only
from corten.launch.peers import describe
from corten.oci.channel import Channel, channel_pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Worker:
    """A fork under way. It dies with the monitor, and when this is closed."""

    __slots__ = ("_channel", "_step")

    def __init__(self, work: Callable[[Channel], None], *, keep: list[int], step: str) -> None:
        """
        Arguments:
            work: what it does; tells results over the channel. Errors reach :meth:`receive`.
            keep: descriptors it needs, besides 0 to 2; it has no others.
            step: what it is for, in errors.
        """
        self._channel, theirs = channel_pair()
        self._step = step
        parent = os.getpid()
        try:
            pid, _ = clone3(pidfd=False)
            if pid == 0:
                _work(work, theirs, keep, parent)
        finally:
            theirs.close()

    def receive(self) -> tuple[dict[str, Any], list[int]]:
        """Wait for what it tells: a message and its descriptors.

        Raises:
            CortenError: the error with which the work ended.
            Internal: it was killed.
        """
        answer = self._channel.receive()
        if answer is None:
            raise self._killed()
        return answer

    def send(self, kind: str, *fds: int, **fields: Any) -> None:
        """Tell it something, descriptors beside it.

        Raises:
            Internal: it was killed.
        """
        try:
            self._channel.send(kind, *fds, **fields)
        except OSError:
            raise self._killed() from None

    def _killed(self) -> Internal:
        return Internal("a process of the monitor's was killed", step=self._step, hint="try again")

    def close(self) -> None:
        """Let go of it: it ends. Idempotent."""
        self._channel.close()


def _work(work: Callable[[Channel], None], channel: Channel, keep: list[int], parent: int) -> None:
    try:
        set_pdeathsig(_signal.SIGKILL)
        if os.getppid() != parent:  # it died before that
            os._exit(1)
        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        keep_only([0, 1, 2, channel.fileno(), *keep])
        work(channel)
    except CortenError as error:
        channel.send_error(error)
    except Exception as error:
        channel.send_error(describe(error, ""))
    finally:
        os._exit(0)
