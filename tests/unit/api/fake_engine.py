"""An engine of dictionaries and socket pairs: what the native protocol's tests talk to.

A container is a function of the test's: it gets its side of the stream and gives the exit code.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from corten.engine.types import (
    Container,
    ContainerConfig,
    Event,
    Exec,
    ExecConfig,
    ExitStatus,
    Image,
    LogLine,
    Progress,
    State,
    Stats,
    StepTime,
)
from corten.errors import FailedPrecondition, NotFound, ProgramNotFound

Program = Callable[["Running"], Awaitable[int]]


class Running:
    """What a container's function sees."""

    def __init__(self) -> None:
        self.ours: socket.socket | None = None
        self.signals: asyncio.Queue[str] = asyncio.Queue()
        self.sizes: asyncio.Queue[tuple[int, int]] = asyncio.Queue()
        self.exit: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()

    async def write(self, data: bytes) -> None:
        if self.ours is not None:
            await asyncio.get_running_loop().sock_sendall(self.ours, data)

    async def out(self, data: bytes, stream: int = 1) -> None:
        await self.write(bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data)

    async def read(self) -> bytes:
        assert self.ours is not None
        return await asyncio.get_running_loop().sock_recv(self.ours, 65536)


class FakeEngine:
    """The part of ``corten.engine.contract.Engine`` that the tests use."""

    def __init__(self, programs: dict[str, Program] | None = None) -> None:
        self.programs = programs or {}
        self.images = {
            "img": Image(id="sha256:" + "1" * 64, tags=("docker.io/library/img:latest",))
        }
        self.containers: dict[str, Container] = {}
        self.running: dict[str, Running] = {}
        self.lines: list[LogLine] = []
        self.more_lines: asyncio.Queue[LogLine] = asyncio.Queue()
        self.cancelled: list[str] = []
        self.execs: dict[str, Running] = {}
        self.looks = 0
        self.log_of_events: list[Event] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def create_container(
        self, tenant: Any, config: ContainerConfig, *, name: str = "", **_more: Any
    ) -> Container:
        if config.image not in self.images:
            raise NotFound("no such image", path=config.image, hint="pull it")
        number = len(self.containers) + 1
        record = Container(
            id=f"{number:064x}", tenant=tenant, name=name or f"name{number}", config=config,
            image_ref=config.image, image_id=self.images[config.image].id, created_at=number,
        )  # fmt: skip
        self.containers[record.id] = record
        self.running[record.id] = Running()
        return record

    def get_container(self, _tenant: Any, ref: str) -> Container:
        for record in self.containers.values():
            if record.id.startswith(ref) or record.name == ref:
                return record
        raise NotFound(f"no such container: {ref}")

    def list_containers(self, tenant: Any) -> list[Container]:
        return [record for record in self.containers.values() if record.tenant == tenant]

    def list_pods(self, _tenant: Any) -> list[Any]:
        return []

    def list_images(self, _tenant: Any) -> list[Image]:
        return list(self.images.values())

    def get_image(self, _tenant: Any, ref: str) -> Image:
        for name, image in self.images.items():
            if ref in (name, image.id):
                return image
        raise NotFound(f"no such image: {ref}")

    async def attach_container(self, _tenant: Any, ref: str, **_sides: Any) -> socket.socket:
        theirs, ours = socket.socketpair()
        ours.setblocking(False)
        self.running[self.get_container(_tenant, ref).id].ours = ours
        return theirs

    async def start_container(self, _tenant: Any, ref: str) -> Container:
        record = self.get_container(_tenant, ref)
        word = (record.config.cmd or ("true",))[0]
        if word not in self.programs:
            self._end_stream(self.running[record.id])
            raise ProgramNotFound(f'exec: "{word}": executable file not found in $PATH')
        self._set(record, State(status="running", pid=1, started_at=1))
        task = asyncio.get_running_loop().create_task(self._life(record.id, word))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return self.containers[record.id]

    async def _life(self, container_id: str, word: str) -> None:
        running = self.running[container_id]
        code = await self.programs[word](running)
        record = self.containers[container_id]
        self._set(record, State(status="exited", exit_code=code, finished_at=2))
        if record.config.auto_remove:
            del self.containers[container_id]
        self._end_stream(running)
        running.exit.set_result(ExitStatus(code=code))

    def _set(self, record: Container, state: State) -> None:
        import msgspec

        steps = (StepTime(step="clone", microseconds=700),)
        self.containers[record.id] = msgspec.structs.replace(record, state=state, steps=steps)

    @staticmethod
    def _end_stream(running: Running) -> None:
        if running.ours is not None:
            running.ours.close()
            running.ours = None

    def exit_waiter(self, _tenant: Any, ref: str, **_condition: Any) -> Callable[[], Any]:
        running = self.running[self.get_container(_tenant, ref).id]
        return lambda: asyncio.shield(running.exit)

    async def wait_container(self, tenant: Any, ref: str, **condition: Any) -> ExitStatus:
        try:
            status: ExitStatus = await self.exit_waiter(tenant, ref, **condition)()
            return status
        except asyncio.CancelledError:
            self.cancelled.append("wait")
            raise

    async def kill_container(self, tenant: Any, ref: str, *, signal: str = "KILL") -> None:
        record = self.get_container(tenant, ref)
        if record.state.status != "running":
            raise FailedPrecondition("it does not run")
        self.running[record.id].signals.put_nowait(signal)

    async def resize_container(self, tenant: Any, ref: str, rows: int, cols: int) -> None:
        self.running[self.get_container(tenant, ref).id].sizes.put_nowait((rows, cols))

    async def remove_container(self, tenant: Any, ref: str, **_options: Any) -> None:
        del self.containers[self.get_container(tenant, ref).id]

    async def container_stats(self, tenant: Any, ref: str) -> Stats:
        """The n-th look finds n seconds of a processor."""
        record = self.get_container(tenant, ref)
        self.looks += 1
        return Stats(
            id=record.id, name=record.name, read_at=self.looks, system_ns=self.looks * 2 * 10**9,
            cpus=2, host_memory=1 << 30,
            counters={
                "cpu": {"usage_ns": self.looks * 10**9}, "pids": {"current": 3},
                "memory": {"usage": 5 << 20, "limit": 10 << 20},
            },
        )  # fmt: skip

    async def stop_container(self, tenant: Any, ref: str, **_options: Any) -> Container:
        record = self.get_container(tenant, ref)
        self.running[record.id].signals.put_nowait("15")
        await self.exit_waiter(tenant, ref)()
        return self.containers[record.id]

    async def create_exec(self, _tenant: Any, ref: str, config: ExecConfig) -> Exec:
        container = self.get_container(_tenant, ref)
        name = f"exec{len(self.execs)}"
        self.execs[name] = Running()
        return Exec(id=name, container_id=container.id, config=config)

    async def start_exec(self, _tenant: Any, exec_id: str, **_options: Any) -> socket.socket:
        theirs, ours = socket.socketpair()
        ours.setblocking(False)
        running = self.execs[exec_id]
        running.ours = ours

        async def life() -> None:
            await running.out(b"from exec\n")
            self._end_stream(running)
            running.exit.set_result(ExitStatus(code=9))

        task = asyncio.get_running_loop().create_task(life())
        self._tasks.add(task)
        return theirs

    async def run_exec(
        self, tenant: Any, ref: str, config: ExecConfig, *, stream: bool, started: Any
    ) -> Exec:
        made = await self.create_exec(tenant, ref, config)
        started(made, await self.start_exec(tenant, made.id))
        return made

    async def wait_exec(self, _tenant: Any, exec_id: str) -> int:
        return (await self.execs[exec_id].exit).code

    async def logs(
        self, _tenant: Any, _ref: str, *, follow: bool, **_o: Any
    ) -> AsyncIterator[LogLine]:
        for line in self.lines:
            yield line
        while follow:
            yield await self.more_lines.get()

    async def pull_image(self, _tenant: Any, ref: str, *, progress: Any, **_o: Any) -> Image:
        progress(Progress(id="abc", status="Downloading", current=1, total=2))
        progress(Progress(id="abc", status="Pull complete"))
        self.images[ref] = Image(id="sha256:" + "2" * 64, tags=(f"docker.io/library/{ref}:latest",))
        return self.images[ref]

    async def events(self, _tenant: Any, **_o: Any) -> AsyncIterator[Event]:
        for event in self.log_of_events:
            yield event

    def info(self) -> dict[str, Any]:
        return {"containers": len(self.containers), "hostname": "fake", "cpus": 2}
