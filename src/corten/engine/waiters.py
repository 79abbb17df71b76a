"""Waiting for a container's end: subscribed at once, awaited later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from corten.engine.states import is_running
from corten.engine.types import Container, Event, ExitStatus
from corten.engine.view import View


def exit_status(record: Container) -> ExitStatus:
    """What a wait gives for a container that does not run."""
    state = record.state
    return ExitStatus(
        code=state.exit_code,
        error=state.error,
        oom_killed=state.oom_killed,
        finished_at=state.finished_at,
    )


class Waiters:
    """Everybody who waits for a container, told by the door's events."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._exit: dict[str, list[asyncio.Future[ExitStatus]]] = {}
        self._removal: dict[str, list[asyncio.Future[ExitStatus]]] = {}
        self._last: dict[str, ExitStatus] = {}

    def published(self, events: list[Event]) -> None:
        """Listener of the door."""
        for event in events:
            if event.type != "container":
                continue
            if event.action == "die":
                self._died(event.id)
            elif event.action == "destroy":
                self._removed(event.id)

    def subscribe(self, record: Container, condition: str) -> Callable[[], Awaitable[ExitStatus]]:
        """Wait from now on; the returned function gives the status.

        Arguments:
            condition: ``not-running``, ``next-exit`` or ``removed``.
        """
        future: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self._forget_those_who_left(record.id)
        if condition == "not-running" and not is_running(record):
            future.set_result(exit_status(record))
        elif condition == "removed":
            self._removal.setdefault(record.id, []).append(future)
            self._last.setdefault(record.id, exit_status(record))
        else:
            # A container that is removed without a further exit answers as well.
            self._exit.setdefault(record.id, []).append(future)
            self._last.setdefault(record.id, exit_status(record))

        async def wait() -> ExitStatus:
            return await future

        return wait

    def _forget_those_who_left(self, container_id: str) -> None:
        """A client that goes away cancels its wait; a container may live for years."""
        for waiting in (self._exit, self._removal):
            if container_id in waiting:
                waiting[container_id] = [f for f in waiting[container_id] if not f.done()]

    def _died(self, container_id: str) -> None:
        record = self._view.containers.get(container_id)
        if record is None:
            return
        status = exit_status(record)
        if container_id in self._removal:
            self._last[container_id] = status
        else:
            self._last.pop(container_id, None)
        _settle(self._exit.pop(container_id, ()), status)

    def _removed(self, container_id: str) -> None:
        status = self._last.pop(container_id, ExitStatus(code=0))
        _settle(self._exit.pop(container_id, ()), status)
        _settle(self._removal.pop(container_id, ()), status)


def _settle(futures: list[asyncio.Future[ExitStatus]] | tuple[()], status: ExitStatus) -> None:
    for future in futures:
        if not future.done():  # the one who waited may be gone
            future.set_result(status)
