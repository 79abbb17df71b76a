"""What the snapshotters with a directory per layer have in common.

On disk, below one directory::

    12/fs              a layer: its own files only, whiteouts in the snapshotter's notation
    13/fs, 13/work     an active snapshot
    new-14/fs          a layer that is being unpacked
    trash/             what is being deleted

A number is used once. Records decide: a numbered directory without a row is a leftover.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from corten.errors import AlreadyExists, CortenError, NotFound, ResourceExhausted, Unavailable
from corten.kernel import files
from corten.snapshots.measure import measure
from corten.snapshots.protocol import LayerInfo, Usage
from corten.snapshots.records import Active, Layer, Records
from corten.snapshots.trash import Trash
from corten.spec.mount import Mount
from corten.store.database import Database

T = TypeVar("T")
_log = logging.getLogger(__name__)

_FULL = (28, 122)  # ENOSPC, EDQUOT


def boot_id() -> str:
    """What differs after each boot of the machine."""
    with open("/proc/sys/kernel/random/boot_id") as file:  # noqa: PTH123  # procfs, one read
        return file.read().strip()


def explain(error: OSError, step: str) -> CortenError:
    """The error of ours for one of the file system's."""
    path = os.fsdecode(error.filename) if error.filename is not None else ""
    text = os.strerror(error.errno or 0)
    if error.errno in _FULL:
        return ResourceExhausted(
            text, step=step, path=path, errno=error.errno, hint="free space and try again"
        )
    return Unavailable(text, step=step, path=path, errno=error.errno or 0)


class DirectorySnapshotter(ABC):
    """Layers as directories; subclasses say how they are put together."""

    name = ""
    stands_on_layers = True  # whether a writable state needs the layers it was made from

    def __init__(self, root: str, db: Database) -> None:
        """Arguments:
        root: the directory of this snapshotter, as ``R/snapshots/overlay``; made where missing.
        """
        self.root = os.path.abspath(root)
        self._records = Records(db, self.name)
        self._pool = ThreadPoolExecutor(2, thread_name_prefix=f"snapshots-{self.name}")
        # One thread deletes, at its leisure; the pool is for what somebody waits for.
        self._cleaner = ThreadPoolExecutor(1, thread_name_prefix="snapshots-trash")
        self._boot_id = boot_id()
        self._next = 1
        self._commits = asyncio.Lock()
        self._background: set[asyncio.Task[None]] = set()
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        self._trash = Trash(f"{self.root}/trash")

    # hooks of the implementations ------------------------------------------------------
    @abstractmethod
    def _fill(self, directory: str, below: list[str]) -> None:
        """Make the contents of a new active snapshot; in a thread.

        Arguments:
            directory: ``…/<n>``, which exists and is empty.
            below: the layers' directories (``…/<n>/fs``), topmost first.
        """

    @abstractmethod
    def _mounts(self, directory: str, below: list[str]) -> tuple[Mount, ...]: ...

    # life ------------------------------------------------------------------------------
    async def recover(self) -> None:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        await self._records.load()
        present = await self._run(self._numbers, step="recover snapshots")
        records = self._records
        known = {a.number for a in records.active.values()}
        known |= {layer.number for layer in records.layers.values()}
        self._next = max(present | known, default=0) + 1
        broken = [layer for layer in records.layers.values() if not self._whole(layer, present)]
        for layer in broken:  # the row stays for what stands on it, until it is unpacked again
            records.layers[layer.chain_id] = _without_directory(layer)
        bad = {layer.number for layer in broken}
        await self._run(self._sweep, present - (known - bad), step="recover snapshots")
        lost = [one for one in records.active.values() if one.number not in present]
        gone = [one.key for one in lost if not await self._made_again(one)]
        if gone:
            await records.drop_active(gone)

    async def _made_again(self, active: Active) -> bool:
        """Its directory was so new that a power failure took it, so nothing was in it."""
        try:
            below = self._below(active.parent)
            directory = f"{self.root}/{active.number}"
            await self._run(self._make, directory, below, step="recover snapshots")
        except CortenError:
            return False
        _log.warning("snapshot %s has lost its directory; it begins anew", active.key)
        return True

    def _whole(self, layer: Layer, present: set[int]) -> bool:
        """Whether its files are all there: after a power loss only if they had been synced."""
        return layer.number in present and layer.boot_id in ("", self._boot_id)

    def _numbers(self) -> set[int]:
        return {int(name) for name in os.listdir(self.root) if name.isdigit()}

    def _sweep(self, leftovers: set[int]) -> None:
        for name in os.listdir(self.root):
            if name.startswith("new-") or (name.isdigit() and int(name) in leftovers):
                self._trash.take(f"{self.root}/{name}")
        self._cleaner.submit(self._trash.empty)

    async def close(self) -> None:
        """Wait for what is under way."""
        while self._background:
            await asyncio.gather(*self._background, return_exceptions=True)
        await asyncio.to_thread(self._cleaner.shutdown)
        self._pool.shutdown()

    async def _run(self, fn: Callable[..., T], *args: object, step: str) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, fn, *args)
        except OSError as error:
            raise explain(error, step) from error

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    # active ----------------------------------------------------------------------------
    async def prepare(self, key: str, parent: str) -> tuple[Mount, ...]:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        found = self._records.active.get(key)
        if found is not None:
            if found.parent != parent:
                raise AlreadyExists(f"snapshot {key} stands on another layer", step="prepare")
            return self.mounts(key)
        try:
            return await to_the_end(self._prepare(key, parent))
        except asyncio.CancelledError:
            await to_the_end(self._remove(key))
            raise

    async def _prepare(self, key: str, parent: str) -> tuple[Mount, ...]:
        staged = await self._stage(key, parent)
        try:
            await self._records.add_active(staged)
        except BaseException:
            self.give_up(staged)
            raise
        return self._mounts(f"{self.root}/{staged.number}", self._below(parent))

    async def stage(self, key: str, parent: str) -> Active:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        if key in self._records.active:
            raise AlreadyExists(f"snapshot {key} exists already", step="prepare")
        return await self._stage(key, parent)

    async def _stage(self, key: str, parent: str) -> Active:
        below = self._below(parent)
        staged = Active(key=key, parent=parent, number=self._number())
        directory = f"{self.root}/{staged.number}"
        try:
            await self._run(self._make, directory, below, step="prepare snapshot")
        except BaseException:
            self._discard(directory)
            raise
        return staged

    def enter(self, connection: sqlite3.Connection, staged: Active) -> None:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        self._records.enter(connection, staged)

    def give_up(self, staged: Active) -> None:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        self._discard(f"{self.root}/{staged.number}")

    def leave(self, connection: sqlite3.Connection, key: str) -> None:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        self._records.leave(connection, key, self.give_up)

    def _make(self, directory: str, below: list[str]) -> None:
        os.mkdir(directory, 0o700)
        self._fill(directory, below)

    def mounts(self, key: str) -> tuple[Mount, ...]:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        active = self._active(key)
        below = self._below(active.parent) if self.stands_on_layers else []
        return self._mounts(f"{self.root}/{active.number}", below)

    def upper(self, key: str) -> str:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        return f"{self.root}/{self._active(key).number}/fs"

    def parent(self, key: str) -> str:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        return self._active(key).parent

    def keys(self) -> list[str]:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        return list(self._records.active)

    async def remove(self, key: str) -> None:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        await to_the_end(self._remove(key))

    async def _remove(self, key: str) -> None:
        active = self._records.active.get(key)
        if active is None:
            return
        await self._records.drop_active([key])
        self._discard(f"{self.root}/{active.number}")

    async def usage(self, key: str) -> Usage:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        return await self._run(measure, self.upper(key), step="measure snapshot")

    def _active(self, key: str) -> Active:
        active = self._records.active.get(key)
        if active is None:
            raise NotFound(f"no snapshot {key}", step="snapshot")
        return active

    def _discard(self, path: str) -> None:
        """Delete in the background, off the loop (a rename waits for the disk, too)."""

        def work() -> None:
            self._trash.take(path)
            self._trash.empty()

        self._cleaner.submit(work)

    # layers ----------------------------------------------------------------------------
    def has_layer(self, chain_id: str) -> bool:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        layer = self._records.layers.get(chain_id)
        return layer is not None and layer.number > 0

    def layer(self, chain_id: str) -> LayerInfo:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        layer = self._records.layers.get(chain_id)
        if layer is None or not layer.number:
            raise NotFound(f"no layer {chain_id}", step="snapshot", hint="pull the image again")
        return LayerInfo(
            chain_id=layer.chain_id,
            parent=layer.parent,
            diff_id=layer.diff_id,
            path=f"{self.root}/{layer.number}/fs",
            size=layer.size,
            inodes=layer.inodes,
        )

    def stack(self, chain_id: str) -> list[LayerInfo]:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        found = []
        while chain_id:
            found.append(self.layer(chain_id))
            chain_id = found[-1].parent
        return found

    def _below(self, parent: str) -> list[str]:
        return [layer.path for layer in self.stack(parent)]

    async def stage_layer(self) -> str:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        path = f"{self.root}/new-{self._number()}"

        def make() -> None:
            os.mkdir(path, 0o700)
            os.mkdir(f"{path}/fs")
            os.chmod(f"{path}/fs", 0o755)  # noqa: S103  # a container's root directory

        try:
            await to_the_end(self._run(make, step="stage layer"))
        except BaseException:
            self._discard(path)
            raise
        return f"{path}/fs"

    async def drop_stage(self, path: str) -> None:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        self._discard(path.removesuffix("/fs"))

    async def commit_layer(
        self, path: str, *, chain_id: str, parent: str, diff_id: str, usage: Usage
    ) -> LayerInfo:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        layer = Layer(
            chain_id=chain_id,
            parent=parent,
            diff_id=diff_id,
            number=self._number(),
            size=usage.size,
            inodes=usage.inodes,
            boot_id=self._boot_id,
        )
        await to_the_end(self._commit(path, layer))
        return self.layer(chain_id)

    async def _commit(self, path: str, layer: Layer) -> None:
        async with self._commits:
            if self.has_layer(layer.chain_id):
                self._discard(path.removesuffix("/fs"))
                return
            if layer.parent:
                self.layer(layer.parent)
            target = f"{self.root}/{layer.number}"
            staged = path.removesuffix("/fs")
            await self._run(os.rename, staged, target, step="commit layer")
            try:
                await self._records.put_layer(layer)
            except BaseException:
                self._discard(target)
                raise
        self._sync_later()

    def _sync_later(self) -> None:
        """Nobody waits for the disk: until then the layer counts for this boot only."""
        if not self._background:
            task = asyncio.get_running_loop().create_task(self._sync())
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    async def _sync(self) -> None:
        while waiting := [one for one in self._records.layers.values() if one.boot_id]:
            ready = [one for one in waiting if one.number]
            if not ready:
                return
            await self._run(self._syncfs, step="sync layers")
            await self._records.mark_synced(ready)
            for one in ready:
                if self._records.layers.get(one.chain_id) == one:
                    self._records.layers[one.chain_id] = _synced(one)

    def _syncfs(self) -> None:
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            files.syncfs(fd)
        finally:
            os.close(fd)

    async def collect(self, keep: Collection[str]) -> list[str]:
        """See :class:`corten.snapshots.protocol.Snapshotter`."""
        return await to_the_end(self._collect(keep))

    async def _collect(self, keep: Collection[str]) -> list[str]:
        async with self._commits:
            records = self._records
            marked: set[str] = set()
            for root in [*keep, *(a.parent for a in records.active.values())]:
                chain_id = root
                while chain_id and chain_id not in marked and chain_id in records.layers:
                    marked.add(chain_id)
                    chain_id = records.layers[chain_id].parent
            dead = _topmost_first([v for k, v in records.layers.items() if k not in marked])
            if dead:
                await records.drop_layers([layer.chain_id for layer in dead])
        for layer in dead:
            if layer.number:
                self._discard(f"{self.root}/{layer.number}")
        return [layer.chain_id for layer in dead]


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Wait for ``work``; a caller that is cancelled is told so only when it has ended.

    A transaction can't be taken back once it is queued, so a step that makes files and a record
    of them is done whole or not at all.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen
        raise


def _topmost_first(layers: list[Layer]) -> list[Layer]:
    by_id = {layer.chain_id: layer for layer in layers}

    def depth(layer: Layer) -> int:
        count = 0
        below = by_id.get(layer.parent)
        while below is not None:
            count += 1
            below = by_id.get(below.parent)
        return count

    return sorted(layers, key=depth, reverse=True)


def _with(layer: Layer, number: int, boot: str) -> Layer:
    return Layer(
        chain_id=layer.chain_id,
        parent=layer.parent,
        diff_id=layer.diff_id,
        number=number,
        size=layer.size,
        inodes=layer.inodes,
        boot_id=boot,
    )


def _without_directory(layer: Layer) -> Layer:
    return _with(layer, 0, layer.boot_id)


def _synced(layer: Layer) -> Layer:
    return _with(layer, layer.number, "")
