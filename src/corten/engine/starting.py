"""Starting a container: namespaces and network, one message to the launcher, go."""

from __future__ import annotations

import asyncio
from asyncio import Future
from contextlib import ExitStack

import msgspec

from corten.engine import states
from corten.engine.boot import wall_ns
from corten.engine.clock import Clock
from corten.engine.door import Tx
from corten.engine.joining import Joiner
from corten.engine.monitors import Monitor, created
from corten.engine.networking import Plug
from corten.engine.operations import both, logged
from corten.engine.parts import Parts
from corten.engine.requesting import Requests
from corten.engine.runs import Run, Runs, finish
from corten.engine.specgen.namespaces import own_network
from corten.engine.types import Container, Tenant
from corten.engine.volumes.using import Using, tell
from corten.errors import (
    DeadlineExceeded,
    NotFound,
    NotModified,
    ProgramNotExecutable,
    ProgramNotFound,
)
from corten.launch.client import Reply
from corten.launch.messages import Start

_MOMENT = 5.0  # seconds; a removal from a full disk takes as long as it is full
_HINT = "the machine or a disk is slow, or engine.start_deadline too short; try again"


class _Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a start that went well gives."""

    pid: int
    started_at: int
    plug: Plug


class Starter:
    """``start_container``."""

    def __init__(self, parts: Parts, runs: Runs, joiner: Joiner, using: Using) -> None:
        self._parts = parts
        self._runs = runs
        self._joiner = joiner
        self._requests = Requests(parts, joiner, using)

    async def start(self, tenant: Tenant, ref: str, *, by_policy: bool = False) -> Container:
        """See ``contract.Engine.start_container``.

        Arguments:
            by_policy: nobody asked for it now: what was counted and decided stays.
        """
        record = self._parts.view.container(tenant, ref)
        return await self._parts.operations.run(
            ("start", record.id), lambda: self._start(record, by_policy)
        )

    async def _start(self, found: Container, by_policy: bool) -> Container:
        parts = self._parts
        pod = [("pod", found.pod_id)] if found.pod_id else []
        async with parts.locks.hold(*pod, ("container", found.id)):
            record = parts.view.containers.get(found.id)
            if record is None:
                raise NotFound(f"No such container: {found.id}")
            if states.has_process(record) if by_policy else states.is_running(record):
                raise NotModified(f"container {record.id} runs already")
            earlier = parts.runs.get(record.id)
            if earlier is not None:
                await finish(parts, earlier)
            outcome = await self._run(record, by_policy)
        if isinstance(outcome, Container):
            return outcome
        if record.config.auto_remove:
            # As under Docker, whoever hears of the error finds nothing of it any more.
            await asyncio.wait((parts.auto_remove(record.id),), timeout=_MOMENT)
        raise outcome

    async def _run(self, record: Container, by_policy: bool) -> Container | Exception:
        """The container as it runs, or why it does not: then all is taken back."""
        parts, clock = self._parts, Clock()
        intent = await parts.door.commit(lambda tx: _begin(tx, record, by_policy))
        clock.step("record")
        run_dir = parts.settings.run_dir(record.id)
        run = Run(record, Monitor(record.id, run_dir, parts.sink), networked=False)
        self._runs.watch(run)
        try:
            async with asyncio.timeout(parts.settings.start_deadline):
                result = await self._bring_up(record, run, clock)
            done = await parts.door.commit(
                lambda tx: _record_start(tx, record.id, intent, result, clock)
            )
        except Exception as error:  # none: the daemon ends, the next one does what is left
            if isinstance(error, TimeoutError):
                error = DeadlineExceeded("the container did not start in time", hint=_HINT)
            await self._fail(record, run, intent, error)
            return error
        run.started.set_result(True)
        return done

    async def _bring_up(self, record: Container, run: Run, clock: Clock) -> _Result:
        """Everything up to the executed program."""
        parts = self._parts
        with ExitStack() as held:
            plug = await self._plug(record, run, held)
            spaces = await self._joiner.descriptors(record, held)
            if plug.fd >= 0:
                spaces["network"] = plug.fd
            _, (request, fds) = await both(
                self._requests.prepare(record, plug), self._requests.build(record, spaces, held)
            )
            clock.step("prepare")
            if plug.ports:
                await plug.attach()
                clock.step("network")
                request, fds = plug.publish(request, fds)
            # The namespace is there and init waits at its gate: so both at once.
            reply, orders = await both(
                run.monitor.launch(parts.launcher, request, fds), self._connect(record, run, plug)
            )
        reply.close_fds()
        answer = created(reply)
        clock.step("create")
        clock.inner(answer.steps)
        if plug.embedded:
            await parts.resolver.add(record, answer.pid)
            clock.step("names")
            orders = self._order(record.id, run)
        started_at = wall_ns()
        for order in orders:
            (await order).result()
        clock.step("start")
        # The program may have run before we heard that it was made.
        started_at = min(started_at, run.monitor.started_at or started_at)
        return _Result(pid=answer.pid, started_at=started_at, plug=plug)

    async def _connect(self, record: Container, run: Run, plug: Plug) -> list[Future[Reply]]:
        """Attach it to its networks; then the monitor may start it without asking first.

        Returns: the orders that are under way."""
        if not plug.ports:
            await plug.attach()
        if plug.attaches:
            await self._requests.write_etc(record, plug)
        await run.monitor.asked.wait()
        # The resolver needs a process in the namespace.
        return [] if plug.embedded else self._order(record.id, run)

    async def _plug(self, record: Container, run: Run, held: ExitStack) -> Plug:
        if not own_network(record.config.namespaces):
            return Plug(self._parts.networks, record, None)
        space = await self._parts.netns.take()
        held.callback(space.close)
        plug = Plug(self._parts.networks, record, space)
        held.callback(plug.close)
        run.networked = plug.attaches
        return plug

    def _order(self, container_id: str, run: Run) -> list[Future[Reply]]:
        """Have it attached to the streams that were asked for before there was a monitor, then
        started."""
        early, ask = self._parts.attaching.pop(container_id, ()), run.monitor.ask
        try:
            return [*[ask(r, {"stream": end.fileno()}) for r, end in early], ask(Start())]
        finally:
            for _request, end in early:
                end.close()

    async def _fail(self, record: Container, run: Run, intent: int, error: Exception) -> None:
        """Take everything back, then record why."""
        run.monitor.never_made()
        if not run.monitor.ended.is_set():
            await run.monitor.delete()
        run.started.set_result(False)
        await logged(finish(self._parts, run), f"the undo of a start of {record.id[:12]}")
        for _request, end in self._parts.attaching.pop(record.id, ()):
            end.close()
        code, text = _exit_code(error), str(error) or type(error).__name__

        def step(tx: Tx) -> None:
            tx.put_container(states.start_failed(tx.container(record.id), code=code, error=text))
            tx.end(intent)

        await logged(self._parts.door.commit(step), f"start of {record.id[:12]}")


def _begin(tx: Tx, record: Container, by_policy: bool) -> int:
    """Write that the start begins; whoever asks for one begins to count anew."""
    if not by_policy and (record.stopped or record.restart_count):
        fresh = msgspec.structs.replace(tx.container(record.id), stopped=False, restart_count=0)
        tx.put_container(fresh)
    return tx.begin("start", "container", record.id, record.tenant)


def _record_start(
    tx: Tx, container_id: str, intent: int, result: _Result, clock: Clock
) -> Container:
    record = states.started(
        tx.container(container_id),
        pid=result.pid,
        started_at=result.started_at,
        boot_id=tx.boot_id,
    )
    record = msgspec.structs.replace(
        record, endpoints=result.plug.endpoints, steps=tuple(clock.steps)
    )
    tx.put_container(record)
    tell(tx, record, "mount")
    for endpoint in record.endpoints:
        tx.network_event(endpoint, record, "connect")
    tx.container_event(record, "start")
    tx.end(intent)
    return record


def _exit_code(error: BaseException) -> int:
    """What Docker records for a container that did not start."""
    if isinstance(error, ProgramNotFound):
        return 127
    if isinstance(error, ProgramNotExecutable):
        return 126
    return 128
