"""The faces that a daemon serves, each at its socket."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Protocol

import corten
from corten.daemon import places
from corten.daemon.config import Config
from corten.daemon.warm import WarmCli
from corten.engine.core import Engine


class Server(Protocol):
    """What every face's ``serve`` gives."""

    async def close(self) -> None: ...


class Faces:
    """Starts them in order, ends them in the opposite one."""

    def __init__(self, engine: Engine, config: Config, *, root: str, state: str) -> None:
        self._engine = engine
        self._config = config
        self._root = root
        self._state = state
        self._servers: list[Server] = []

    async def start(self) -> None:
        """Serve what the configuration names; what this installation does not have is left
        out (a face is a package that can be left out)."""
        starters: dict[str, Any] = {"api": self._api, "docker": self._docker, "cri": self._cri}
        for name, module in (
            ("api", "corten.api.server"),
            ("docker", "corten.dockerapi.server"),
            ("cri", "corten.cri.server"),
        ):
            if name in self._config.daemon.faces and find_spec(module) is not None:
                self._servers.append(await starters[name]())
        wants_cli = self._config.daemon.warm_cli and "api" in self._config.daemon.faces
        if wants_cli and find_spec("corten.cli.warm") is not None:
            warm = WarmCli(self._state)
            warm.start()
            self._servers.append(warm)

    async def close(self) -> None:
        """End all of them; containers and operations go on."""
        while self._servers:
            await self._servers.pop().close()

    async def _api(self) -> Server:
        from corten.api.server import serve

        path = f"{self._state}/corten.sock"
        return await serve(self._engine, path, group=self._config.daemon.group)

    async def _docker(self) -> Server:
        from corten.dockerapi.server import DockerConfig, serve

        gid = places.group_id(self._config.daemon.group)
        listener = places.listen(f"{self._state}/docker.sock", mode=0o660, gid=gid)
        config = DockerConfig(root_dir=self._root, version=corten.__version__)
        return await serve(self._engine, listener, config=config)

    async def _cri(self) -> Server:
        from corten.cri.server import CriConfig, serve

        config = CriConfig(root_dir=self._root, version=corten.__version__)
        return await serve(self._engine, f"{self._state}/cri.sock", config=config)
