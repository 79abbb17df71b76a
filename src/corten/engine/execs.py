"""Additional processes in a running container."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import msgspec

from corten.engine import ids, states
from corten.engine.door import Tx
from corten.engine.parts import Parts
from corten.engine.runs import Run, settle
from corten.engine.specgen import capabilities, exec_process
from corten.engine.specgen.build import hostname as hostname_of
from corten.engine.specgen.signals import signal_number
from corten.engine.types import Container, Event, Exec, ExecConfig, Security, Tenant
from corten.errors import (
    CortenError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ProgramNotFound,
    Unavailable,
)
from corten.launch.messages import Exec as ExecRequest
from corten.launch.messages import ExecStarted, Exit, Kill, Resize, read
from corten.spec.frames import EXEC_FAILED

_replace = msgspec.structs.replace
OnStarted = Callable[[Exec, socket.socket | None], None]
_KEPT = 64  # ended execs that a container keeps


class Execs:
    """Creates, starts and watches execs."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._waiting: dict[str, list[asyncio.Future[int]]] = {}
        parts.sink.exec_exited = self._exited
        parts.door.listen(self._published)

    async def create(self, tenant: Tenant, ref: str, config: ExecConfig) -> Exec:
        """See ``contract.Engine.create_exec``."""
        record, made = await self._new(tenant, ref, config)
        return await self._parts.door.commit(lambda tx: _put_new(tx, record, made))

    async def run(
        self, tenant: Tenant, ref: str, config: ExecConfig, *, stream: bool, started: OnStarted
    ) -> Exec:
        """See ``contract.Engine.run_exec``."""
        record, made = await self._new(tenant, ref, config)
        made = _replace(made, started=True)

        async def work() -> Exec:
            run = self._run_of(record)
            await self._parts.door.commit(lambda tx: _put_new(tx, record, made))
            await self._execute(run, record, made, stream, started)
            return made

        return await self._parts.operations.run(("exec", made.id), work)

    async def _new(self, tenant: Tenant, ref: str, config: ExecConfig) -> tuple[Container, Exec]:
        """The container, which runs, and an exec of it that is not recorded yet."""
        record = self._parts.view.container(tenant, ref)
        if not config.args:
            raise InvalidArgument("No exec command specified")
        await settle(self._parts, record.id)
        record = self._parts.view.container(tenant, record.id)
        self._run_of(record)
        new = Exec(id=ids.new_id(self._parts.view.execs), container_id=record.id, config=config)
        return record, new

    async def start(
        self, tenant: Tenant, exec_id: str, *, stream: bool, tty: bool | None
    ) -> socket.socket | None:
        """See ``contract.Engine.start_exec``."""
        found = self._parts.view.exec(tenant, exec_id)
        if found.started:
            raise FailedPrecondition(f"exec {exec_id} has been started already")
        if tty is not None and tty != found.config.tty:
            found = _replace(found, config=_replace(found.config, tty=tty))
        key = ("exec", exec_id, ids.new_id())
        return await self._parts.operations.run(key, lambda: self._start(tenant, found, stream))

    async def _start(self, tenant: Tenant, found: Exec, stream: bool) -> socket.socket | None:
        record = self._parts.view.container(tenant, found.container_id)
        run = self._run_of(record)
        await self._parts.door.commit(lambda tx: _claim(tx, found))
        return await self._execute(run, record, found, stream)

    async def _execute(
        self,
        run: Run,
        record: Container,
        found: Exec,
        stream: bool,
        started: OnStarted | None = None,
    ) -> socket.socket | None:
        """Have the process made of what the record says, and write that it runs. The stream
        is for ``started``, if there is one, before that is written."""
        request = self._request(record, found, stream)
        try:
            reply = await run.monitor.call_fds(request)
        except CortenError as error:
            await self._failed(found, error)
            raise _not_made(error) from None
        pid = read(ExecStarted, reply.result()).pid

        def step(tx: Tx) -> None:
            now = tx.exec(found.id)
            if now is not None and now.exit_code is None:  # else the end was faster
                tx.put_exec(_replace(now, running=True, pid=pid))
            command = " ".join(found.config.args)
            tx.container_event(record, f"exec_start: {command}", execID=found.id)

        fd = reply.fds.pop("stream", -1)
        sock = socket.socket(fileno=fd) if fd >= 0 else None
        recorded = self._parts.door.begin(step)
        if started is not None:
            started(found, sock)
            sock = None
        await recorded
        return sock

    def _request(self, record: Container, found: Exec, stream: bool) -> ExecRequest:
        config, host = found.config, self._parts.host
        security = record.config.security
        if config.privileged:
            security = Security(privileged=True)
        process = exec_process(
            config,
            record.config,
            hostname=hostname_of(record, host.hostname),
            capabilities=capabilities.granted(security, host.capabilities),
        )
        return ExecRequest(
            exec_id=found.id,
            process=process,
            tty=config.tty,
            stdin=config.attach_stdin and stream,
            stdout=config.attach_stdout,
            stderr=config.attach_stderr,
            attach=stream,
            console_size=config.console_size or (0, 0),
        )

    async def _failed(self, found: Exec, error: CortenError) -> None:
        code = 127 if isinstance(error, ProgramNotFound) else 126  # dockerd's, for whatever else

        def step(tx: Tx) -> None:
            now = tx.exec(found.id)
            if now is not None:
                tx.put_exec(_replace(now, running=False, exit_code=code))

        await self._parts.door.commit(step)

    async def wait(self, tenant: Tenant, exec_id: str) -> int:
        """See ``contract.Engine.wait_exec``."""
        found = self._parts.view.exec(tenant, exec_id)
        if found.exit_code is not None:
            return found.exit_code
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(exec_id, []).append(future)
        return await future

    async def resize(self, tenant: Tenant, exec_id: str, rows: int, cols: int) -> None:
        """See ``contract.Engine.resize_exec``."""
        found = self._parts.view.exec(tenant, exec_id)
        run = self._run_of(self._parts.view.containers[found.container_id])
        await run.monitor.call(Resize(rows=rows, columns=cols, exec_id=exec_id))

    async def kill(self, tenant: Tenant, exec_id: str, *, signal: str) -> None:
        """See ``contract.Engine.kill_exec``."""
        number = signal_number(signal or "KILL")
        found = self._parts.view.exec(tenant, exec_id)
        run = self._parts.runs.get(found.container_id)
        if run is None or not found.started or found.exit_code is not None:
            raise FailedPrecondition(f"exec {exec_id} is not running")
        await run.monitor.call(Kill(signal=number, exec_id=exec_id))

    def _run_of(self, record: Container) -> Run:
        if record.state.status == "paused":
            raise FailedPrecondition(
                f"Container {record.name} is paused, unpause the container before exec"
            )
        if record.state.status == "restarting":
            raise FailedPrecondition(
                f"Container {record.id} is restarting, wait until the container is running"
            )
        run = self._parts.runs.get(record.id)
        if run is None or not states.is_running(record):
            raise FailedPrecondition(f"container {record.id} is not running")
        return run

    def _exited(self, container_id: str, exit_: Exit) -> None:
        self._parts.operations.background(
            self.record_exit(container_id, exit_.exec_id, exit_.code),
            f"exec-exit-{exit_.exec_id[:12]}",
        )

    async def record_exit(self, container_id: str, exec_id: str, code: int) -> None:
        """Record an exec's end, once."""

        def step(tx: Tx) -> None:
            now = tx.exec(exec_id)
            if now is None or now.exit_code is not None:
                return
            tx.put_exec(_replace(now, started=True, running=False, pid=0, exit_code=code))
            tx.container_event(
                tx.container(container_id), "exec_die", execID=exec_id, exitCode=str(code)
            )

        try:
            await self._parts.door.commit(step)
        except NotFound:
            return

    def _published(self, _events: list[Event]) -> None:
        for exec_id in list(self._waiting):
            record = self._parts.view.execs.get(exec_id)
            if record is not None and record.exit_code is None:
                continue
            for future in self._waiting.pop(exec_id):
                if future.done():
                    continue
                if record is None:
                    future.set_exception(NotFound(f"No such exec instance: {exec_id}"))
                else:
                    future.set_result(record.exit_code or 0)


def _put_new(tx: Tx, record: Container, made: Exec) -> Exec:
    tx.container(record.id)
    tx.put_exec(made)
    tx.forget_execs(record.id, _KEPT)
    command = " ".join(made.config.args)
    tx.container_event(record, f"exec_create: {command}", execID=made.id)
    return made


def _claim(tx: Tx, found: Exec) -> None:
    """An exec is started once."""
    now = tx.exec(found.id)
    if now is None:
        raise NotFound(f"No such exec instance: {found.id}")
    if now.started:
        raise FailedPrecondition(f"exec {found.id} has been started already")
    tx.put_exec(_replace(now, config=found.config, started=True))


def _not_made(error: CortenError) -> CortenError:
    """Why there is no process, in the words of OCI runtimes, which scripts look for. That the
    container does not run, or its monitor does not answer, is another matter."""
    if isinstance(error, (FailedPrecondition, Unavailable)):
        return error
    return type(error)(f"{EXEC_FAILED}{error}", errno=error.errno, hint=error.hint)
