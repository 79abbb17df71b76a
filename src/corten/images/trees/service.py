"""Copies, exports and changes of containers' files, as the engine asks for them."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Generic, TypeVar

import msgspec

from corten.images.content import Content
from corten.images.settings import Settings
from corten.images.trees.client import Worker, connection
from corten.snapshots.protocol import Snapshotter

T = TypeVar("T")
_PATIENCE = 60.0  # seconds without a byte: others wait for the container meanwhile


class Bind(msgspec.Struct, frozen=True, kw_only=True):
    """A volume or directory of the host inside a container that does not run.

    Fields:
        subpath: below the source; resolved so that it can't lead out of it.
    """

    source: str
    target: str
    read_only: bool = False
    subpath: str = ""


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A container that runs: its first process, and the id that its cgroup's name holds."""

    pid: int
    id: str


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """A container that does not run: its snapshot's key, and what is mounted into it."""

    key: str
    binds: tuple[Bind, ...] = ()


Where = Running | Stopped


class PathStat(msgspec.Struct, frozen=True, kw_only=True):
    """What a path inside a container is.

    Fields:
        mode: as Go's ``os.FileMode``, which docker's clients expect.
        mtime: nanoseconds since the epoch.
        link_target: where a link leads inside the container.
    """

    name: str
    size: int
    mode: int
    mtime: int
    link_target: str = ""


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """A path that a container changed: kind 0 modified, 1 added, 2 deleted."""

    path: str
    kind: int


class Transfer(Generic[T]):
    """An archive on its way between a client and a program of ours. Use as ``async with``:
    leaving it before :meth:`done` has returned ends the program.

    Fields:
        sock: the client's end. Whoever takes it away sets it to None.
        stat: of what is read, where a path was asked for.
    """

    def __init__(
        self,
        sock: socket.socket,
        stack: AsyncExitStack,
        finish: Callable[[], Awaitable[T]],
        stat: PathStat | None = None,
    ) -> None:
        self.sock: socket.socket | None = sock
        self.stat = stat
        self._stack = stack
        self._finish = finish
        self._held = AsyncExitStack()

    def hold(self, held: AsyncExitStack) -> None:
        """Close this too, when the program is gone."""
        self._held = held

    async def __aenter__(self) -> Transfer[T]:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.sock is not None:
            self.sock.close()
        try:
            await self._stack.aclose()
        finally:
            await self._held.aclose()

    def take(self) -> socket.socket:
        """The client's end, to be given away or closed by the caller."""
        sock, self.sock = self.sock, None
        assert sock is not None
        return sock

    async def done(self) -> T:
        """Wait for the end. Raises what went wrong."""
        return await self._finish()


class Trees:
    """Starts the program, once per request."""

    def __init__(self, content: Content, snapshotter: Snapshotter, settings: Settings) -> None:
        self._content = content
        self._snapshotter = snapshotter
        self._settings = settings

    # paths -----------------------------------------------------------------------------
    async def stat(self, where: Where, path: str) -> PathStat:
        """What a path is. NotFound, FailedPrecondition (it has just ended)."""
        async with Worker("stat", self._job(where, write=False, path=path)) as worker:
            return PathStat(**await worker.result())

    async def read(self, where: Where, path: str) -> Transfer[None]:
        """A file or a tree as an archive, whose members begin with the path's last part."""
        return await self._send("read", self._job(where, write=False, path=path))

    async def export(self, where: Where) -> Transfer[None]:
        """The whole root file system, without what is mounted into it."""
        bare = where if isinstance(where, Running) else Stopped(key=where.key)
        return await self._send("export", self._job(bare, write=False))

    async def write(
        self,
        where: Where,
        path: str,
        *,
        keep_kinds: bool,
        owner: str,
    ) -> Transfer[None]:
        """Unpack what comes over the transfer's socket below a directory.

        Arguments:
            keep_kinds: a directory is not replaced by a file, nor a file by a directory.
            owner: a user of the container's, whose everything becomes; empty: as the archive
                says.
        """
        job = self._job(where, write=True, path=path) | {
            "keep_kinds": keep_kinds,
            "owner": owner,
            "patience": _PATIENCE if isinstance(where, Stopped) else 0,
            "ratio": self._settings.max_ratio,
        }
        client, program = connection()
        async with AsyncExitStack() as stack:
            stack.callback(client.close)
            worker = await stack.enter_async_context(Worker("write", job, data=program))
            return Transfer(client, stack.pop_all(), worker.result)

    async def _send(self, op: str, job: dict[str, Any]) -> Transfer[None]:
        client, program = connection()
        async with AsyncExitStack() as stack:
            stack.callback(client.close)
            worker = await stack.enter_async_context(Worker(op, job, data=program))
            first = await worker.item()
            stat = None if first is None else PathStat(**first)
            return Transfer(client, stack.pop_all(), worker.result, stat)

    def _job(self, where: Where, *, write: bool, path: str = "") -> dict[str, Any]:
        place: dict[str, Any]
        if isinstance(where, Running):
            place = {"kind": "process", "pid": where.pid, "id": where.id}
        else:
            place = {
                "kind": "mounts",
                "mounts": [mount.to_dict() for mount in self._snapshotter.mounts(where.key)],
                "binds": [msgspec.to_builtins(bind) for bind in where.binds],
                "write": write,
            }
        return {"where": place, "scratch": self._content.scratch, "path": path}

    # a container's own layer -----------------------------------------------------------
    def own(self, key: str, chain_id: str) -> dict[str, Any]:
        """The job of a program that reads what a container changed."""
        layers = [layer.path for layer in self._snapshotter.stack(chain_id)]
        return {
            "where": {"kind": "directory", "path": self._snapshotter.upper(key)},
            "scratch": self._content.scratch,
            "layers": layers,
            "overlay": self._snapshotter.name == "overlay",
        }

    async def changes(self, key: str, chain_id: str) -> Sequence[FileChange]:
        """What differs from the image, by path."""
        found: list[FileChange] = []

        def batch(items: list[tuple[str, int]]) -> None:
            found.extend([FileChange(path=path, kind=kind) for path, kind in items])

        async with Worker("diff", self.own(key, chain_id)) as worker:
            await worker.result(batch)
        return sorted(found, key=lambda change: change.path)
