"""The start of a daemon: everything that runs is found again, and every operation that an
earlier daemon had begun is finished or undone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence

import msgspec

from corten.engine import oldlauncher, states, tables
from corten.engine.boot import wall_ns
from corten.engine.creating import Creator
from corten.engine.door import Tx
from corten.engine.execs import Execs
from corten.engine.healthrules import from_monitor
from corten.engine.monitors import Monitor, until_connected
from corten.engine.networking import endpoints_of, requests_of
from corten.engine.parts import Parts
from corten.engine.podding import Pods
from corten.engine.recoverpods import PodRecovery
from corten.engine.removing import Remover
from corten.engine.restarting import Restarter
from corten.engine.runs import Outcome, Run, Runs, outcome_of_state, record_exit
from corten.engine.stopping import Signaller
from corten.engine.sweeping import Sweeper
from corten.engine.tables import Intent
from corten.engine.types import Container, Exec
from corten.engine.volumes import tables as volume_tables
from corten.engine.volumes.service import Volumes
from corten.errors import CortenError, NotFound
from corten.launch import client, orphan
from corten.launch.messages import MonitorState

_log = logging.getLogger(__name__)
_BURY = 60.0
_PATIENCE = 2.0  # seconds for the monitors to answer, before the daemon serves without them
_LOST_IN_REBOOT = 255  # Docker's and containerd's code for "nobody saw the end"


class Recovery:
    """Runs once, before any face listens."""

    def __init__(
        self,
        parts: Parts,
        *,
        creator: Creator,
        runs: Runs,
        signaller: Signaller,
        remover: Remover,
        restarter: Restarter,
        execs: Execs,
        pods: Pods,
        volumes: Volumes,
    ) -> None:
        self._parts = parts
        self._creator = creator
        self._runs = runs
        self._signaller = signaller
        self._remover = remover
        self._restarter = restarter
        self._execs = execs
        self._volumes = volumes
        self._pods = PodRecovery(parts, pods)
        self._sweeper = Sweeper(parts)

    async def run(self) -> None:
        """Everything, in order."""
        parts = self._parts
        state_dir = parts.settings.state
        await parts.groups.run(oldlauncher.await_end, state_dir, deadline=30.0)
        containers = list(parts.db.read(lambda c: list(tables.all_containers(c))))
        pods = list(parts.db.read(lambda c: list(tables.all_pods(c))))
        parts.view.load(
            [record for record, ready in containers if ready],
            [record for record, ready in pods if ready],
            parts.db.read(lambda c: list(tables.all_execs(c))),
            parts.db.read(lambda c: [one for one, ready in volume_tables.every(c) if ready]),
        )
        intents = parts.db.read(tables.all_intents)
        starts = {i.object_id for i in intents if i.kind == "start"}
        restarts = {i.object_id for i in intents if i.kind == "restart"}
        live = {r.id for r, _ in containers if self._is_live(parts.settings.run_dir(r.id))}
        live |= {p.id for p, _ in pods if self._is_live(parts.settings.pod_dir(p.id))}
        await parts.networks.recover(live)
        await self._disconnect_strangers({r.id: r for r, _ in containers})
        await self._pods.reconnect([record for record, ready in pods if ready])
        # All at once: one that hangs holds up nothing but itself.
        found = [
            self._guarded(self._container(record, record.id in starts), record.id)
            for record, ready in containers
            if ready
        ]
        await asyncio.gather(*found)
        for intent in intents:
            await self._guarded(self._finish(intent, containers), intent.object_id)
        await self._sweeper.run(
            {record.id for record, _ in containers}, {record.id for record, _ in pods}
        )
        for record in list(parts.view.containers.values()):
            if record.id not in restarts:
                self._tidy(record)

    async def _disconnect_strangers(self, containers: dict[str, Container]) -> None:
        """A connect or disconnect that was interrupted: the container's record decides."""
        networks = self._parts.networks
        for container_id in networks.attached():
            record = containers.get(container_id)
            wanted = [] if record is None else [r.network for r in requests_of(record.config)]
            for endpoint in networks.attachments(container_id):
                if not {endpoint.network, endpoint.network_id} & set(wanted):
                    await networks.unplug(container_id, endpoint.network_id)

    def _is_live(self, run_dir: str) -> bool:
        return client.is_locked(run_dir)

    async def _guarded(self, work: Awaitable[None], object_id: str) -> None:
        """One object that can't be recovered must not keep the others from it."""
        try:
            await work
        except CortenError as error:
            _log.error("recovery of %s: %s", object_id[:12], error)

    def _tidy(self, record: Container) -> None:
        """What an exit would have begun, had anybody been there."""
        ended = record.state.finished_at or record.state.error
        if record.config.auto_remove and not states.is_running(record) and ended:
            self._remover.begin(record.id)

    # containers ------------------------------------------------------------------------

    async def _container(self, record: Container, starting: bool) -> None:
        run_dir = self._parts.settings.run_dir(record.id)
        if states.has_process(record) and record.state.boot_id != self._parts.boot_id:
            await self._rebooted(record)
        elif self._is_live(run_dir):
            await self._reconnect(record, run_dir)
        elif states.has_process(record) or starting:
            await self._gone(record, run_dir)

    async def _rebooted(self, record: Container) -> None:
        outcome = Outcome(code=_LOST_IN_REBOOT, finished_at=wall_ns(), reason="reboot")
        await self._parts.door.commit(lambda tx: record_exit(tx, record.id, outcome))

    async def _reconnect(self, record: Container, run_dir: str) -> None:
        parts = self._parts
        monitor = Monitor(record.id, run_dir, parts.sink)
        connecting = asyncio.ensure_future(until_connected(monitor))
        done, _ = await asyncio.wait((connecting,), timeout=_PATIENCE)
        error = connecting.exception() if done else None
        if isinstance(error, NotFound):
            await self._gone(record, run_dir)
            return
        if error is not None:
            raise error
        execs = parts.view.execs_of(record.id)
        run = Run(record, monitor, networked=bool(parts.networks.attachments(record.id)))
        self._runs.watch(run)
        if done:
            await self._found(run, record, connecting.result(), execs)
            return
        _log.error("the monitor of container %s does not answer", record.id[:12])
        written = client.read_state(run_dir)
        if written is not None:
            monitor.adopt(written)
            await self._started(run, record, written)
        parts.operations.watch(
            self._found_late(run, record, connecting, execs), f"reconnect-{record.id[:12]}"
        )

    async def _found_late(
        self,
        run: Run,
        record: Container,
        connecting: asyncio.Future[MonitorState],
        execs: Sequence[Exec],
    ) -> None:
        try:
            state = await connecting
        except NotFound:
            run.monitor.lost()
            if not run.started.done():
                run.started.set_result(False)
            return
        await self._found(run, record, state, execs)

    async def _found(
        self, run: Run, record: Container, state: MonitorState, execs: Sequence[Exec]
    ) -> None:
        """Its monitor tells what became of it and of the execs of an earlier daemon."""
        await self._started(run, record, state)
        if not run.started.done():
            # Its start was interrupted before the program ran: nobody waits for it any more.
            run.started.set_result(False)
            await run.monitor.delete()
            await run.finished.wait()
            return
        await self._ended_execs(record, state, execs)

    async def _started(self, run: Run, record: Container, state: MonitorState) -> None:
        if state.status in ("creating", "created"):
            return
        await self._parts.door.commit(lambda tx: self._seen_running(tx, record, state))
        if not run.started.done():
            run.started.set_result(state.started_at > 0)

    def _seen_running(self, tx: Tx, record: Container, state: MonitorState) -> None:
        """Make the record say what the monitor's state says."""
        now = tx.container(record.id)
        if not states.has_process(now) and state.started_at:
            now = states.started(
                now, pid=state.pid, started_at=state.started_at, boot_id=tx.boot_id
            )
            endpoints = endpoints_of(self._parts.networks, now.id)
            now = tx.put_container(msgspec.structs.replace(now, endpoints=endpoints))
            tx.container_event(now, "start")
        wanted = "paused" if state.status == "paused" else "running"
        if states.has_process(now) and now.state.status != wanted:
            now = tx.put_container(states.with_status(now, wanted))
        if state.health and states.has_process(now):
            checked = msgspec.structs.replace(now.state, health=from_monitor(state.health))
            tx.put_container(msgspec.structs.replace(now, state=checked))

    async def _gone(self, record: Container, run_dir: str) -> None:
        """No monitor lives: what it left tells how the container ended."""
        state = client.read_state(run_dir)
        if state is not None and not (state.status == "exited" and state.cleaned):
            state = await self._parts.groups.run(orphan.bury, run_dir, deadline=_BURY)
        if state is not None:
            await self._ended_execs(record, state, self._parts.view.execs_of(record.id))

        def step(tx: Tx) -> None:
            if state is not None and state.started_at:
                self._seen_running(tx, record, state)
            record_exit(tx, record.id, outcome_of_state(state))

        await self._parts.door.commit(step)

    async def _ended_execs(
        self, record: Container, state: MonitorState, execs: Sequence[Exec]
    ) -> None:
        """Exit codes of execs that ended meanwhile; those that never ran are over, too."""
        for one in execs:
            if not one.started or one.exit_code is not None:
                continue
            found = state.execs.get(one.id)
            if found is None:
                await self._execs.record_exit(record.id, one.id, 128)
            elif found.get("status") == "exited":
                await self._execs.record_exit(record.id, one.id, int(found.get("exit_code", 0)))

    # operations ------------------------------------------------------------------------

    async def _finish(self, intent: Intent, containers: list[tuple[Container, bool]]) -> None:
        if intent.object_type == "pod":
            await self._pods.finish(intent)
        elif intent.object_type == "volume":
            await self._volumes.finish(intent)
        else:
            record = next((r for r, _ in containers if r.id == intent.object_id), None)
            if record is not None:
                await self._finish_container(intent, record)
        await self._parts.door.commit(lambda tx: tx.end(intent.number))

    async def _finish_container(self, intent: Intent, record: Container) -> None:
        if intent.kind == "create":
            await self._creator.finish(record, intent)
        elif intent.kind == "remove":
            await self._remover.finish(record, volumes=bool(intent.data.get("volumes")))
        elif intent.kind == "stop":
            data = intent.data
            self._parts.operations.background(
                self._signaller.finish_stop(record.id, int(data["signal"]), float(data["timeout"])),
                f"finish-stop-{record.id[:12]}",
            )
        elif intent.kind == "restart":
            data = intent.data
            self._parts.restarting.add(record.id)
            self._parts.operations.background(
                self._restarter.finish(record, int(data["signal"]), float(data["timeout"])),
                f"finish-restart-{record.id[:12]}",
            )
        elif intent.kind == "start" and record.config.auto_remove:
            now = self._parts.view.containers.get(record.id)
            if now is not None and not states.is_running(now):
                self._remover.begin(record.id)
