"""One running container or pod as the daemon holds it: its monitor's connection and end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from corten.engine.launching import Launcher
from corten.engine.peer import Peer, ProcessWatch
from corten.errors import CortenError, DeadlineExceeded, NotFound, Unavailable
from corten.launch import client
from corten.launch.client import Event, Reply
from corten.launch.messages import (
    EVENT_EXEC_EXIT,
    EVENT_EXIT,
    EVENT_HEALTH,
    EVENT_OOM,
    EVENT_START,
    Create,
    Created,
    CreatePod,
    Delete,
    Exit,
    HealthChecked,
    Message,
    MonitorState,
    Started,
    Subscribe,
    read,
)

_DELETE = 30.0  # seconds for a monitor to take its container away
_ANSWER = 30.0  # seconds for a monitor to answer; it takes milliseconds
_LOCK_POLL = 0.02  # seconds
_RETRY_LAST = 0.5  # seconds between attempts to connect to a monitor that lives


class EventSink:
    """Who is told of what happens besides the container's own exit.

    Attributes:
        exec_exited: an exec's process has ended.
        health_checked: one check is done.
        out_of_memory: the kernel killed processes of the container.
    """

    def __init__(self) -> None:
        self.exec_exited: Callable[[str, Exit], None] = lambda _id, _exit: None
        self.out_of_memory: Callable[[str], None] = lambda _id: None
        self.health_checked: Callable[[str, HealthChecked], None] = lambda _id, _checked: None


class Monitor:
    """The monitor of one run of a container (or of a pod).

    Attributes:
        exited: done when the process has ended (the event), or None when the monitor went
            without saying so.
        ended: set when the monitor itself is gone; the run directory is ours from then on.
        asked: set when the launcher was asked for it, or could not be: :meth:`ask` may follow.
        started_at: when the program was executed, as it says; 0: it has not.
    """

    def __init__(self, object_id: str, run_dir: str, sink: EventSink) -> None:
        self.id = object_id
        self.run_dir = run_dir
        self.exited: asyncio.Future[Exit | None] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self.asked = asyncio.Event()
        self.started_at = 0
        self._sink = sink
        self._peer: Peer | None = None
        self._watch: ProcessWatch | None = None
        self._gone = False

    # making ----------------------------------------------------------------------------

    async def launch(
        self, launcher: Launcher, request: Create | CreatePod, fds: dict[str, int]
    ) -> Reply:
        """Fork the monitor and wait until it has made the container or pod.

        Returns: its first reply, descriptors included.
        Raises: why the creation failed; nothing is left of it then but the run directory.
        """
        try:
            peer, forked = await launcher.create(
                request, fds, on_event=self._event, on_close=self._disconnected
            )
            self._peer = peer
        finally:
            self.asked.set()
        pidfd = await forked
        if pidfd >= 0:
            self._watch = ProcessWatch(pidfd, self._process_ended)
        try:
            reply = await peer.expect_first()
        except Unavailable:
            what = "its monitor" if pidfd >= 0 else "the launcher"
            raise Unavailable(f"{what} has ended before it was made", hint="try again") from None
        if reply.error is not None:
            reply.close_fds()
            raise reply.error
        return reply

    async def reconnect(self) -> MonitorState:
        """Find the monitor that an earlier daemon left.

        Returns: its state.
        Raises:
            NotFound: it has ended.
        """
        connection = client.connect_monitor(self.run_dir)
        self._peer = Peer(
            connection,
            name=f"the monitor of {self.id[:12]}",
            on_event=self._event,
            on_close=self._disconnected,
        )
        # Not from its file, which a full disk may keep behind. However long it takes.
        state = read(MonitorState, await self._peer.call(Subscribe()))
        self.adopt(state)
        if state.status == "exited" and not self.exited.done():
            self.exited.set_result(exit_of(state))  # the event was before our time
        return state

    def adopt(self, state: MonitorState) -> None:
        """Watch its process, also while it does not answer. Idempotent.

        Arguments:
            state: what it says, or what it wrote while its lock proves that it lives.
        """
        if self._watch is not None:
            return
        try:
            pidfd = os.pidfd_open(state.monitor_pid)
        except OSError:
            self._process_ended()
            return
        self._watch = ProcessWatch(pidfd, self._process_ended)

    def lost(self) -> None:
        """It has ended, and nothing else tells so."""
        if self._watch is None:
            self._finish()

    def never_made(self) -> None:
        """No monitor was forked, so there is nothing to wait for."""
        if self._peer is None:
            self._finish()

    # asking ----------------------------------------------------------------------------

    async def call(self, request: Message) -> dict[str, Any]:
        """A request of ``launch.messages``.

        Raises: what it answers; NotFound: it has ended; DeadlineExceeded: it hangs.
        """
        reply = await self.call_fds(request)
        reply.close_fds()
        return reply.result()

    async def call_fds(self, request: Message, fds: dict[str, int] | None = None) -> Reply:
        """As :meth:`call`, with the reply's descriptors."""
        peer = self._connected()
        try:
            async with asyncio.timeout(_ANSWER):
                return await peer.call_fds(request, fds)
        except TimeoutError:
            raise DeadlineExceeded(
                f"{peer.name} does not answer", hint="a forced removal ends it and the container"
            ) from None

    def ask(self, request: Message, fds: dict[str, int] | None = None) -> asyncio.Future[Reply]:
        """Send a request without descriptors in its reply, also to a monitor that still makes
        its container: what it does first is answered first."""
        return self._connected().ask(request, fds)

    def _connected(self) -> Peer:
        if self._peer is None or self._peer.closed:
            raise NotFound("the container has ended")
        return self._peer

    async def delete(self) -> None:
        """Have everything of it taken away; a monitor that can't is killed (the container is
        lost then, and buried by whoever watches)."""
        try:
            async with asyncio.timeout(_DELETE):
                await self._connected().call(Delete(force=True))
        except (CortenError, TimeoutError):
            self.kill()

    def kill(self) -> None:
        """End a monitor that does not answer; its container is lost then."""
        if self._watch is not None:
            self._watch.kill()

    # its end ---------------------------------------------------------------------------

    def _event(self, event: Event) -> None:
        if event.name == EVENT_EXIT and isinstance(event.data, Exit):
            if not self.exited.done():
                self.exited.set_result(event.data)
        elif event.name == EVENT_EXEC_EXIT and isinstance(event.data, Exit):
            self._sink.exec_exited(self.id, event.data)
        elif event.name == EVENT_START and isinstance(event.data, Started):
            self.started_at = event.data.started_at
        elif event.name == EVENT_HEALTH and isinstance(event.data, HealthChecked):
            self._sink.health_checked(self.id, event.data)
        elif event.name == EVENT_OOM:
            self._sink.out_of_memory(self.id)

    def _disconnected(self) -> None:
        """End of file comes with the process's end, which the pidfd tells; one that has let go
        of its lock has done everything, and need not be waited for."""
        if self._gone or not client.is_locked(self.run_dir):
            self._finish()
        elif self._watch is None:
            self._await_unlock()

    def _await_unlock(self) -> None:
        """Without a pidfd (the launcher died before it could give one) the lock tells."""
        if client.is_locked(self.run_dir):
            asyncio.get_running_loop().call_later(_LOCK_POLL, self._await_unlock)
        else:
            self._finish()

    def _process_ended(self) -> None:
        self._gone = True
        self._watch = None
        if self._peer is None or self._peer.closed:
            self._finish()
        else:
            self._peer.drain()  # calls _disconnected

    def _finish(self) -> None:
        if self._watch is not None:
            self._watch.close()
        if not self.exited.done():
            self.exited.set_result(None)
        self.ended.set()

    def close(self) -> None:
        """Let go; the monitor lives on."""
        if self._peer is not None:
            self._peer.close()
        if self._watch is not None:
            self._watch.close()


def exit_of(state: MonitorState) -> Exit:
    """The event that a monitor's state tells of."""
    return Exit(
        code=state.exit_code,
        signal=state.signal,
        oom_killed=state.oom_killed,
        finished_at=state.finished_at,
        error=state.error,
    )


def created(reply: Reply) -> Created:
    """The first reply of a container's monitor."""
    return read(Created, reply.result())


async def until_connected(monitor: Monitor) -> MonitorState:
    """Reconnect, also to a monitor that does not listen yet, or hangs: then this waits as long
    as it lives. NotFound: it has ended."""
    pause = 0.01
    while True:
        try:
            return await monitor.reconnect()
        except (NotFound, Unavailable):
            if not client.is_locked(monitor.run_dir):
                raise NotFound("the monitor has ended", path=monitor.run_dir) from None
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _RETRY_LAST)
