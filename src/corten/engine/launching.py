"""The launcher: started, watched, started again when it dies; asked by the engine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable

from corten.engine.peer import EventSink, Peer, ProcessWatch
from corten.engine.settings import EngineSettings
from corten.errors import CortenError, Unavailable
from corten.launch.client import LauncherConnection
from corten.launch.messages import (
    CREATE_ID,
    Create,
    CreatePod,
    CreateResolver,
    Fill,
    Filled,
    Hello,
    MakeNetns,
    Message,
    Shutdown,
    read,
)
from corten.launch.spawning import LauncherProcess, spawn_launcher

_log = logging.getLogger(__name__)
_BACKOFF = (0.0, 0.1, 0.5, 2.0, 5.0)  # seconds before the n-th start in a row that failed
_READY = 20.0  # seconds for a launcher to answer, on a machine that is under load
_STOP = 5.0


class Launcher:
    """The launcher's process, whichever runs at the moment."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._process: LauncherProcess | None = None
        self._connection: LauncherConnection | None = None
        self._peer: Peer | None = None
        self._up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._dead = asyncio.Event()
        self._stopping = False

    @property
    def pid(self) -> int:
        """The process id; 0: none runs at the moment."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start it and keep one running; :meth:`ready` waits for it."""
        self._task = asyncio.create_task(self._keep(), name="launcher")

    async def ready(self) -> Peer:
        """Wait for a launcher that has answered.

        Raises:
            Unavailable: none could be started in time.
        """
        try:
            async with asyncio.timeout(_READY):
                await self._up.wait()
        except TimeoutError:
            raise Unavailable(
                "the launcher does not start", hint="see the daemon's log for the reason"
            ) from None
        assert self._peer is not None
        return self._peer

    async def call(self, request: Message, fds: dict[str, int] | None = None) -> None:
        """A request whose reply has nothing in it."""
        peer = await self.ready()
        await peer.call(request, fds)

    async def netns(self, pin: str = "") -> tuple[int, int]:
        """A new network namespace: (descriptor, netlink socket opened inside)."""
        peer = await self.ready()
        reply = await peer.call_fds(MakeNetns(pin=pin))
        return reply.fds.pop("netns"), reply.fds.pop("netlink")

    async def create(
        self,
        request: Create | CreatePod | CreateResolver,
        fds: dict[str, int],
        *,
        on_event: EventSink,
        on_close: Callable[[], None],
    ) -> tuple[Peer, Awaitable[int]]:
        """Have a monitor forked. Its first reply is the outcome: a launcher that dies meanwhile
        changes nothing about it, and nothing is ever sent twice.

        Returns: the monitor's connection, subscribed to its events; and what gives its pidfd
            (the taker's; -1 if the launcher died before it could answer) or raises why
            nothing was forked.
        """
        peer = await self.ready()
        assert self._connection is not None
        number, connection = self._connection.create(request, fds)
        monitor = Peer(
            connection,
            name=f"the monitor of {request.id[:12]}",
            on_event=on_event,
            on_close=on_close,
            first=CREATE_ID,
        )
        return monitor, self._forked(peer, number)

    async def fill(self, request: Fill) -> tuple[str, ...]:
        """Have an image's directories copied; the outcomes as ``Filled`` has them.

        Raises:
            Unavailable: launcher or process ended meanwhile.
        """
        peer = await self.ready()
        assert self._connection is not None
        number, connection = self._connection.create(request, {})
        worker = Peer(connection, name="the copying of an image's files", first=CREATE_ID)
        try:
            (await peer.expect(number)).result()
            reply = await worker.expect_first()
            return read(Filled, reply.result()).outcomes
        finally:
            worker.close()

    async def _forked(self, peer: Peer, number: int) -> int:
        try:
            reply = await peer.expect(number)
        except Unavailable:
            return -1
        if reply.ok is None:
            reply.result()
        return reply.fds.pop("pidfd", -1)  # without: we had no room for it

    async def stop(self) -> None:
        """End it; monitors live on."""
        self._stopping = True
        if self._peer is not None and not self._peer.closed:
            with contextlib.suppress(CortenError):
                self._peer.send(Shutdown())
        if self._process is not None:
            try:
                async with asyncio.timeout(_STOP):
                    await self._dead.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._process.pidfd, signal.SIGKILL)
                await self._dead.wait()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        failures = 0
        while not self._stopping:
            await asyncio.sleep(_BACKOFF[min(failures, len(_BACKOFF) - 1)])
            started = await self._run_one()
            failures = 0 if started else failures + 1

    async def _run_one(self) -> bool:
        """Start one and wait for its end; whether it had been ready."""
        self._dead.clear()
        process = spawn_launcher(
            state_dir=self._settings.state, cgroup=self._settings.monitors_cgroup
        )
        watch = ProcessWatch(os.dup(process.pidfd), self._dead.set)
        self._process, self._connection = process, process.connection

        def hangs() -> None:
            # What it was asked for has no other way to a known outcome than its end.
            _log.error("launcher %d does not answer: killed", process.pid)
            watch.kill()

        peer = self._peer = Peer(
            process.connection, name="the launcher", on_silence=hangs, patience=_READY
        )
        ready = False
        try:
            hello = asyncio.create_task(peer.call(Hello(program="cortend")))
            dead = asyncio.create_task(self._dead.wait())
            await asyncio.wait((hello, dead), return_when=asyncio.FIRST_COMPLETED)
            ready = hello.done() and hello.exception() is None
            if ready:
                _log.debug("launcher %d is ready: %s", process.pid, hello.result())
                peer.patience = self._settings.start_deadline
                self._up.set()
            hello.add_done_callback(lambda task: task.cancelled() or task.exception())
            await dead
        finally:
            self._up.clear()
            watch.close()
            peer.close()
            self._process = None
            _reap(process)
        if not self._stopping:
            _log.warning("launcher %d has ended; starting another", process.pid)
        return ready


def _reap(process: LauncherProcess) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, process.pidfd, os.WEXITED | os.WNOHANG)
    os.close(process.pidfd)
