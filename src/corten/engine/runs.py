"""One run of a container: from the fork of its monitor until everything of it is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import msgspec

from corten.engine import restartrules, states
from corten.engine.boot import wall_ns
from corten.engine.door import Tx
from corten.engine.monitors import Monitor
from corten.engine.operations import logged
from corten.engine.parts import Parts
from corten.engine.trees import remove_tree
from corten.engine.types import Container
from corten.engine.volumes.using import tell
from corten.errors import DeadlineExceeded
from corten.launch import client, orphan
from corten.launch.messages import Exit, MonitorState

T = TypeVar("T")
_log = logging.getLogger(__name__)
_RELEASE = 10.0  # seconds after which an exit is recorded although its cleaning-up hangs
_BURY = 60.0
_PATIENCE = 30.0  # seconds to wait for another operation's end
_HINT = "the daemon's log has the reason; try again later"
LOST = 137  # what a container gets whose monitor was killed


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended."""

    code: int
    finished_at: int
    oom_killed: bool = False
    reason: str = ""
    error: str = ""


class Run:
    """A container's monitor and what the engine knows of this run.

    Attributes:
        started: whether the program was executed; decided by the start operation.
        released: set when the exit is recorded and nothing of the run is left but its directory.
        finished: set when that is gone, too.
        networked: it is attached to a network.
    """

    def __init__(self, record: Container, monitor: Monitor, *, networked: bool) -> None:
        self.container_id = record.id
        self.tenant = record.tenant
        self.monitor = monitor
        self.networked = networked
        self.started: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.released = asyncio.Event()
        self.finished = asyncio.Event()


async def settle(parts: Parts, container_id: str) -> None:
    """Wait for a start that is under way: its program may speak, and be answered with a
    signal or an exec, before the start is recorded.

    Raises:
        DeadlineExceeded: it hangs.
    """
    run = parts.runs.get(container_id)
    if run is None:
        return
    try:
        async with asyncio.timeout(parts.settings.start_deadline + _PATIENCE):
            await asyncio.shield(run.started)
    except TimeoutError:
        raise DeadlineExceeded(
            f"the start of container {container_id} has no end", hint=_HINT
        ) from None


async def finish(parts: Parts, run: Run, *, directory: bool = True) -> None:
    """Wait until nothing is left of a run whose end is due.

    Arguments:
        directory: also of its directory; only who makes another of the same name needs that.

    Raises:
        DeadlineExceeded: its cleaning-up hangs, or waits for space on a disk.
    """
    end = run.finished if directory else run.released
    if end.is_set():
        return
    try:
        async with asyncio.timeout(_PATIENCE):
            await parts.operations.hurry()
            await end.wait()
    except TimeoutError:
        raise DeadlineExceeded(
            f"container {run.container_id} is still being cleaned up after", hint=_HINT
        ) from None


class Runs:
    """Watches every run to its end."""

    def __init__(self, parts: Parts, after_exit: Callable[[str], None]) -> None:
        """
        Arguments:
            after_exit: called with the container's id when all of an exit is done.
        """
        self._parts = parts
        self._after_exit = after_exit
        parts.sink.out_of_memory = self._out_of_memory

    def watch(self, run: Run) -> None:
        """From now on the end of the run is noticed, recorded and cleaned up after."""
        self._parts.runs[run.container_id] = run
        self._parts.operations.watch(self._watch(run), f"watch-{run.container_id[:12]}")

    def _out_of_memory(self, container_id: str) -> None:
        self._parts.operations.background(
            self._parts.door.commit(lambda tx: record_oom(tx, container_id)),
            f"oom-{container_id[:12]}",
        )

    async def _watch(self, run: Run) -> None:
        exit_ = await run.monitor.exited
        started = await run.started
        release = asyncio.create_task(self._release(run))
        # Recorded after the cleaning-up, so that whoever waits may use the ports again; but an
        # exit that is known does not wait forever for one that hangs.
        await asyncio.wait((release,), timeout=None if exit_ is None else _RELEASE)
        if started:
            outcome = outcome_of_state(release.result()) if exit_ is None else _of_exit(exit_)
            await self._parts.operations.insist(
                lambda: self._parts.door.commit(
                    lambda tx: record_exit(tx, run.container_id, outcome)
                ),
                _what(run),
            )
        await release
        run.released.set()
        # Not before the exit is recorded: until then the directory alone knows it.
        await logged(
            self._parts.files.run(remove_tree, run.monitor.run_dir, deadline=_BURY), _what(run)
        )
        if self._parts.runs.get(run.container_id) is run:
            del self._parts.runs[run.container_id]
        run.finished.set()
        if started:
            self._after_exit(run.container_id)

    async def _release(self, run: Run) -> MonitorState | None:
        """Give back processes, cgroup and network of the run; what fails is logged.

        Returns: what the monitor left, or what was found out about a monitor that is lost.
        """
        parts = self._parts
        detached = asyncio.create_task(self._detach(run))
        await run.monitor.ended.wait()
        run.monitor.close()
        state = client.read_state(run.monitor.run_dir)
        if state is not None and not (state.status == "exited" and state.cleaned):
            bury = parts.groups.run(orphan.bury, run.monitor.run_dir, deadline=_BURY)
            state = await logged(bury, _what(run)) or client.read_state(run.monitor.run_dir)
        await detached
        return state

    async def _detach(self, run: Run) -> None:
        await self._parts.resolver.remove(run.container_id)
        # It may have been connected only while it ran.
        if run.networked or self._parts.networks.attachments(run.container_id):
            step = partial(self._parts.networks.detach, run.container_id)
            await self._parts.operations.insist(step, _what(run))


def _what(run: Run) -> str:
    return f"the end of container {run.container_id[:12]}"


def _of_exit(exit_: Exit) -> Outcome:
    """From the monitor's event."""
    error = "" if exit_.error is None else str(exit_.error.get("message", ""))
    return Outcome(
        code=exit_.code,
        finished_at=exit_.finished_at,
        oom_killed=exit_.oom_killed,
        reason=exit_.reason,
        error=error,
    )


def outcome_of_state(state: MonitorState | None) -> Outcome:
    """From what the monitor left; None: it left nothing, so it was killed early. (Where the
    processes could not be ended, either, it still says that they run.)"""
    if state is None or state.status != "exited":
        return Outcome(code=LOST, finished_at=wall_ns(), reason="monitor-lost")
    return Outcome(
        code=state.exit_code,
        finished_at=state.finished_at or wall_ns(),
        oom_killed=state.oom_killed,
        reason=state.reason,
    )


def record_oom(tx: Tx, container_id: str) -> None:
    """The kernel killed a process of a container that goes on; told once a run, as Docker's
    ``OOMKilled`` says it."""
    record = tx.container(container_id)
    if not states.has_process(record) or record.state.oom_killed:
        return
    state = msgspec.structs.replace(record.state, oom_killed=True)
    tx.container_event(tx.put_container(msgspec.structs.replace(record, state=state)), "oom")


def record_exit(tx: Tx, container_id: str, outcome: Outcome) -> None:
    """The exit, once: whoever comes second changes nothing."""
    record = tx.container(container_id)
    if not states.has_process(record):
        return
    ended = states.exited(
        record,
        code=outcome.code,
        finished_at=outcome.finished_at,
        oom_killed=outcome.oom_killed or record.state.oom_killed,
        reason=outcome.reason,
        error=outcome.error,
    )
    if restartrules.wanted(record, outcome.code):
        ended = states.with_status(ended, "restarting")
        ended = msgspec.structs.replace(ended, restart_count=record.restart_count + 1)
    tx.put_container(msgspec.structs.replace(ended, endpoints=()))
    if outcome.oom_killed and not record.state.oom_killed:
        tx.container_event(ended, "oom")
    seconds = max(0, (outcome.finished_at - record.state.started_at) // 1_000_000_000)
    tx.end_execs(container_id, outcome.code)
    tx.container_event(ended, "die", exitCode=str(outcome.code), execDuration=str(seconds))
    tell(tx, ended, "unmount")
    for endpoint in record.endpoints:
        tx.network_event(endpoint, record, "disconnect")
