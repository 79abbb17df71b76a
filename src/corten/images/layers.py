"""From layers of a manifest to layers of the snapshotter: fetched, unpacked, committed.

Layers are fetched and unpacked at once and in any order (a worker unpacks while its blob is
still arriving), and committed lowest first. Layers that two pulls share are made once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from corten.errors import CortenError, DataLoss
from corten.images.content import Content, Ingest
from corten.images.settings import Settings
from corten.images.shared import Locks, Shared, all_or_none
from corten.images.types import Progress, ProgressSink
from corten.images.unpack import finish
from corten.images.unpack.client import Limits, Unpacked, Worker
from corten.snapshots.protocol import Snapshotter, Usage
from corten.spec._struct import Struct
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import ImageConfig, Manifest, chain_ids

Fetch = Callable[[Descriptor, Ingest, Callable[[], None], ProgressSink], Awaitable[None]]
_UNLIMITED = 1 << 62


class Wanted(Struct):
    """One layer that an image needs."""

    descriptor: Descriptor
    diff_id: Digest
    chain_id: Digest
    parent: str


def wanted(manifest: Manifest, config: ImageConfig) -> tuple[Wanted, ...]:
    """The layers of an image, lowest first."""
    chain = chain_ids(config.diff_ids)
    return tuple(
        [
            Wanted(
                descriptor=manifest.layers[number],
                diff_id=diff_id,
                chain_id=chain[number],
                parent=str(chain[number - 1]) if number else "",
            )
            for number, diff_id in enumerate(config.diff_ids)
        ]
    )


class Layers:
    """Makes layers. One per daemon: its limits are the daemon's."""

    def __init__(self, content: Content, snapshotter: Snapshotter, settings: Settings) -> None:
        self._content = content
        self._snapshotter = snapshotter
        self._settings = settings
        self._jobs: Shared[None] = Shared()
        self._fetching = Locks()
        self._downloads = asyncio.Semaphore(settings.parallel_downloads)
        self._workers = asyncio.Semaphore(settings.parallel_unpacks or len(os.sched_getaffinity(0)))

    async def close(self) -> None:
        """End what is under way."""
        await self._jobs.cancel_all()

    async def ensure(
        self, layers: tuple[Wanted, ...], fetch: Fetch | None, report: ProgressSink
    ) -> None:
        """Have all of these layers in the snapshotter.

        Arguments:
            fetch: writes a blob into an ingest, calling back as it grows; None: blobs are here.
        """
        jobs: list[Awaitable[None]] = []
        for layer in layers:
            name = layer.descriptor.digest.short
            if self._snapshotter.has_layer(str(layer.chain_id)):
                report(Progress(id=name, status="Already exists"))
                continue
            report(Progress(id=name, status="Pulling fs layer"))
            jobs.append(self._join(layer, fetch, report))
        await all_or_none(jobs)

    def _join(self, layer: Wanted, fetch: Fetch | None, report: ProgressSink) -> Awaitable[None]:
        async def work(sink: ProgressSink) -> None:
            await self._make(layer, fetch, sink)

        return self._jobs.join(str(layer.chain_id), work, report)

    async def _make(self, layer: Wanted, fetch: Fetch | None, report: ProgressSink) -> None:
        stage = await self._snapshotter.stage_layer()
        try:
            unpacked = await self._unpack(layer, stage, fetch, report)
            await self._commit(layer, stage, unpacked)
        except BaseException:
            await asyncio.shield(self._snapshotter.drop_stage(stage))
            raise
        report(Progress(id=layer.descriptor.digest.short, status="Pull complete"))

    async def _commit(self, layer: Wanted, stage: str, unpacked: Unpacked) -> None:
        below: list[str] = []
        if layer.parent:
            await self._jobs.wait(layer.parent)
            below = [info.path for info in self._snapshotter.stack(layer.parent)]
        run = self._content.run
        await run(finish.mark_opaque, stage, unpacked.opaque, step="unpack layer")
        await run(finish.inherit, stage, unpacked.implicit, below, step="unpack layer")
        await self._snapshotter.commit_layer(
            stage,
            chain_id=str(layer.chain_id),
            parent=layer.parent,
            diff_id=str(layer.diff_id),
            usage=Usage(size=unpacked.size, inodes=unpacked.inodes),
        )

    # unpacking -------------------------------------------------------------------------
    def _worker(
        self, blob: int, layer: Wanted, stage: str, report: ProgressSink, *, follow: bool
    ) -> Worker:
        total = layer.descriptor.size
        name = layer.descriptor.digest.short

        def progress(done: int) -> None:
            report(Progress(id=name, status="Extracting", current=done, total=total))

        return Worker(
            blob,
            stage,
            diff_id=str(layer.diff_id),
            overlay=self._snapshotter.name == "overlay",
            limits=Limits(
                size=self._settings.max_unpacked or _UNLIMITED, ratio=self._settings.max_ratio
            ),
            follow=follow,
            on_progress=None if follow else progress,
        )

    async def _unpack(
        self, layer: Wanted, stage: str, fetch: Fetch | None, report: ProgressSink
    ) -> Unpacked:
        digest = layer.descriptor.digest
        async with AsyncExitStack() as stack:
            # The same blob twice (an empty layer, another image) is fetched once.
            await stack.enter_async_context(self._fetching.hold(str(digest)))
            here = await self._content.size(digest)
            if fetch is None or here == layer.descriptor.size:
                await stack.aclose()
                return await self._unpack_blob(layer, stage, report)
            ingest = await stack.enter_async_context(await self._content.ingest(layer.descriptor))
            worker: Worker | None = None
            async with self._downloads:
                if not self._workers.locked():
                    worker = await self._start(stack, ingest.fd, layer, stage, report, follow=True)
                result = await self._download(layer, ingest, worker, fetch, report)
            if worker is None or result is None:
                worker = await self._start(stack, ingest.fd, layer, stage, report, follow=False)
                return await worker.result()
            worker.announce(ingest.offset, final=True)
            return await result

    async def _start(
        self,
        stack: AsyncExitStack,
        blob: int,
        layer: Wanted,
        stage: str,
        report: ProgressSink,
        *,
        follow: bool,
    ) -> Worker:
        await stack.enter_async_context(self._workers)
        worker = self._worker(blob, layer, stage, report, follow=follow)
        return await stack.enter_async_context(worker)

    async def _download(
        self,
        layer: Wanted,
        ingest: Ingest,
        worker: Worker | None,
        fetch: Fetch,
        report: ProgressSink,
    ) -> asyncio.Task[Unpacked] | None:
        """Fetch and verify; the worker's result, which is still to come, if there is a worker."""

        def grown() -> None:
            if worker is not None:
                worker.announce(ingest.offset)

        async def fetch_and_commit() -> None:
            await fetch(layer.descriptor, ingest, grown, report)
            report(Progress(id=layer.descriptor.digest.short, status="Verifying Checksum"))
            await ingest.commit()
            report(Progress(id=layer.descriptor.digest.short, status="Download complete"))

        download = asyncio.ensure_future(fetch_and_commit())
        result = None if worker is None else asyncio.ensure_future(worker.result())
        try:
            if result is not None:
                await asyncio.wait([download, result], return_when=asyncio.FIRST_COMPLETED)
                # Damaged bytes: the digest of the whole tells better whose fault it is.
                if result.done() and not isinstance(result.exception(), DataLoss):
                    result.result()
            await download
        except BaseException:
            await _end(download, result)
            raise
        return result

    async def _unpack_blob(self, layer: Wanted, stage: str, report: ProgressSink) -> Unpacked:
        blob = await self._content.open(layer.descriptor.digest)
        try:
            async with self._workers, self._worker(blob, layer, stage, report, follow=False) as one:
                return await one.result()
        except DataLoss as error:
            raise _damaged(error, layer) from error
        finally:
            os.close(blob)


async def _end(*tasks: asyncio.Future[Any] | None) -> None:
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    await asyncio.wait(running)
    for task in running:
        if not task.cancelled():
            task.exception()  # seen


def _damaged(error: CortenError, layer: Wanted) -> DataLoss:
    return DataLoss(
        error.message,
        step=error.step,
        path=str(layer.descriptor.digest),
        hint=error.hint or "pull the image again",
    )
