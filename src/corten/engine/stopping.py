"""Signals to a container: stop, kill, pause, limits, terminal size."""

from __future__ import annotations

import asyncio

import msgspec

from corten.engine import states
from corten.engine.door import Tx
from corten.engine.parts import Parts
from corten.engine.runs import Run, settle
from corten.engine.specgen.signals import signal_number, stop_timeout
from corten.engine.types import Container, Tenant
from corten.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    NotFound,
    NotModified,
    Unavailable,
)
from corten.launch import groups
from corten.launch.messages import Kill, Message, Pause, Resize, Resume

_KILL = 9
_AFTER_KILL = 30.0  # seconds for SIGKILL to work; a process in the kernel may take longer


class Signaller:
    """What is done to a container that runs."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # stop ------------------------------------------------------------------------------

    async def stop(
        self, tenant: Tenant, ref: str, *, timeout: float | None, signal: str
    ) -> Container:
        """See ``contract.Engine.stop_container``."""
        record = self._parts.view.container(tenant, ref)
        number, seconds = self.choose(record, timeout=timeout, signal=signal)
        # A stop that is less patient than the one under way is an operation of its own.
        key = ("stop", record.id, str(number), str(seconds))
        return await self._parts.operations.run(key, lambda: self._stop(record.id, number, seconds))

    def choose(self, record: Container, *, timeout: float | None, signal: str) -> tuple[int, float]:
        """What to send, and after how many seconds SIGKILL: what was asked for, or the
        container's own."""
        number = signal_number(signal or record.config.stop_signal or "TERM")
        return number, stop_timeout(record.config) if timeout is None else timeout

    async def _stop(self, container_id: str, number: int, timeout: float) -> Container:
        await settle(self._parts, container_id)
        record = self._record(container_id)
        if record.state.status == "restarting" and await self._parts.give_up(container_id):
            return await self._parts.door.commit(lambda tx: _told(tx, container_id, "stop"))
        record = self._record(container_id)
        if not states.is_running(record):
            raise NotModified(f"container {container_id} does not run")

        def begin(tx: Tx) -> int:
            not_again(tx, container_id)
            return tx.begin(
                "stop", "container", container_id, record.tenant, signal=number, timeout=timeout
            )

        intent = await self._parts.door.commit(begin)
        await self.finish_stop(container_id, number, timeout)

        def ended(tx: Tx) -> Container:
            tx.end(intent)
            return _told(tx, container_id, "stop")

        try:
            return await self._parts.door.commit(ended)
        except NotFound:  # made to be removed with its end, and gone already
            return record

    async def finish_stop(self, container_id: str, number: int, timeout: float) -> None:
        """Signal, wait, kill; also the rest of a stop that a crash interrupted."""
        run = self._parts.runs.get(container_id)
        if run is None:
            return
        # While it starts there may be nobody yet to hear a signal, which would be lost.
        await settle(self._parts, container_id)
        await self._signal(run, number)
        try:
            async with asyncio.timeout(None if timeout < 0 else timeout):
                await run.finished.wait()
            return
        except TimeoutError:
            pass
        await self._signal(run, _KILL)
        try:
            async with asyncio.timeout(_AFTER_KILL):
                await run.finished.wait()
        except TimeoutError:
            raise FailedPrecondition(
                f"container {container_id} does not end after SIGKILL",
                hint="a process of it is stuck in the kernel",
            ) from None

    async def _signal(self, run: Run, number: int) -> None:
        """Send and record; one that has ended meanwhile is what was wanted."""
        try:
            await self._send(run, number)
        except (NotFound, Unavailable):  # Unavailable: its monitor has ended, with it
            return
        except DeadlineExceeded:
            if number == _KILL:
                run.monitor.kill()

    # kill ------------------------------------------------------------------------------

    async def kill(self, tenant: Tenant, ref: str, *, signal: str) -> None:
        """See ``contract.Engine.kill_container``."""
        number = signal_number(signal or "KILL")
        record = self._parts.view.container(tenant, ref)
        if record.state.status == "restarting" and await self._parts.give_up(record.id):
            return
        run = await self._running(tenant, ref, "kill container")
        ends = number in (_KILL, signal_number(record.config.stop_signal or "TERM"))
        if ends and record.config.restart.name != "no":
            await self._parts.door.commit(lambda tx: not_again(tx, record.id))
        try:
            await self._send(run, number)
        except NotFound:
            raise FailedPrecondition(
                f"Cannot kill container: {ref}: Container {run.container_id} is not running"
            ) from None
        if number == _KILL:
            await run.finished.wait()

    async def _send(self, run: Run, number: int) -> None:
        await run.monitor.call(Kill(signal=number))

        def step(tx: Tx) -> None:
            tx.container_event(tx.container(run.container_id), "kill", signal=str(number))

        try:
            await self._parts.door.commit(step)
        except NotFound:
            return

    # pause -----------------------------------------------------------------------------

    async def pause(self, tenant: Tenant, ref: str) -> None:
        """See ``contract.Engine.pause_container``."""
        await self._freeze(tenant, ref, Pause(), "running", "paused", "pause")

    async def unpause(self, tenant: Tenant, ref: str) -> None:
        """See ``contract.Engine.unpause_container``."""
        await self._freeze(tenant, ref, Resume(), "paused", "running", "unpause")

    async def _freeze(
        self, tenant: Tenant, ref: str, request: Message, before: str, after: str, action: str
    ) -> None:
        run = await self._running(tenant, ref, f"{action} container")
        container_id = run.container_id
        async with self._parts.locks.hold(("container", container_id)):
            record = self._record(container_id)
            if record.state.status == after == "paused":
                raise FailedPrecondition(f"Container {container_id} is already {after}")
            if record.state.status != before:
                raise FailedPrecondition(f"Container {container_id} is not {before}")
            await run.monitor.call(request)

            def step(tx: Tx) -> None:
                now = tx.container(container_id)
                if states.is_running(now):
                    tx.container_event(tx.put_container(states.with_status(now, after)), action)

            await self._parts.door.commit(step)

    # the rest --------------------------------------------------------------------------

    async def resize(self, tenant: Tenant, ref: str, rows: int, cols: int) -> None:
        """See ``contract.Engine.resize_container``."""
        run = await self._running(tenant, ref, "resize container")
        await run.monitor.call(Resize(rows=rows, columns=cols))

    async def top(self, tenant: Tenant, ref: str) -> list[int]:
        """See ``contract.Engine.top_container``."""
        record = states.require_running(self._parts.view.container(tenant, ref))
        run_dir = self._parts.settings.run_dir(record.id)
        return await self._parts.groups.run(groups.run_pids, run_dir, deadline=10.0)

    def _record(self, container_id: str) -> Container:
        record = self._parts.view.containers.get(container_id)
        if record is None:
            raise NotFound(f"No such container: {container_id}")
        return record

    async def _running(self, tenant: Tenant, ref: str, action: str) -> Run:
        record = self._parts.view.container(tenant, ref)
        await settle(self._parts, record.id)
        record = self._record(record.id)
        run = self._parts.runs.get(record.id)
        if record.state.status == "restarting":
            raise FailedPrecondition(
                f"Container {record.id} is restarting, wait until the container is running"
            )
        if run is None or not states.is_running(record):
            raise FailedPrecondition(
                f"Cannot {action}: {ref}: Container {record.id} is not running"
            )
        return run


def not_again(tx: Tx, container_id: str) -> None:
    """Somebody ends it: its policy does not start it again."""
    now = tx.container(container_id)
    if not now.stopped:
        tx.put_container(msgspec.structs.replace(now, stopped=True))


def _told(tx: Tx, container_id: str, action: str) -> Container:
    now = tx.container(container_id)
    tx.container_event(now, action)
    return now
