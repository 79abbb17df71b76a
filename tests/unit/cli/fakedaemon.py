"""A daemon whose containers are coroutines, as a process: for tests of clients and terminals
that need no privilege. ``python -m tests.unit.cli.fakedaemon STATE``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from corten.api import server as server_module
from corten.api.server import serve
from corten.engine.types import Container, ContainerConfig
from tests.unit.api.fake_engine import FakeEngine, Program, Running


async def cat(running: Running) -> int:
    while data := await running.read():
        await running.out(data)
    return 0


async def term(running: Running) -> int:
    """A terminal: echoes what is typed; tells sizes; ends at Ctrl-D, not when it is left."""
    await running.write(b"ready\r\n")

    async def sizes() -> None:
        while True:
            rows, cols = await running.sizes.get()
            await running.write(b"size %d %d\r\n" % (rows, cols))

    watcher = asyncio.create_task(sizes())
    while data := await running.read():
        if b"\x04" in data:
            break
        await running.write(b"<" + data.replace(b"\x03", b"^C").replace(b"\x1a", b"^Z") + b">")
    else:
        await asyncio.Event().wait()
    watcher.cancel()
    return 3


async def hold(running: Running) -> int:
    """Runs until a signal, whose number is the exit code."""
    await running.out(b"holding\n")
    return int(await running.signals.get())


class Engine(FakeEngine):
    """``late DIR`` is not created before ``DIR/go`` exists; ``DIR/begun`` tells of the request."""

    async def create_container(
        self, tenant: Any, config: ContainerConfig, **more: Any
    ) -> Container:
        if config.cmd and config.cmd[0] == "late":
            directory = Path(config.cmd[1])
            (directory / "begun").touch()
            while not (directory / "go").exists():  # noqa: ASYNC110 it is another process's
                await asyncio.sleep(0.01)
        return await super().create_container(tenant, config, **more)


async def both(running: Running) -> int:
    await running.out(b"to out\n")
    await running.out(b"to err\n", 2)
    return 0


async def big(running: Running) -> int:
    for _ in range(64):
        await running.out(b"x" * 65536)
    return 0


async def seven(_running: Running) -> int:
    return 7


async def main(state: Path) -> None:
    programs: dict[str, Program] = {f.__name__: f for f in (cat, term, hold, both, big, seven)}
    engine = Engine({**programs, "late": hold})
    server_module.may_connect = lambda *_: True  # whoever the tests run as
    server = await serve(engine, state / "corten.sock")  # type: ignore[arg-type]  # a part of it
    (state / "corten.sock").chmod(0o666)
    await asyncio.Event().wait()
    await server.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
