"""Removing a container: its records at once, its files after them."""

from __future__ import annotations

import asyncio

from corten.engine import states
from corten.engine.door import Tx
from corten.engine.operations import logged
from corten.engine.parts import Parts
from corten.engine.runs import finish
from corten.engine.stopping import Signaller, not_again
from corten.engine.trees import remove_tree
from corten.engine.types import Container, Tenant, Volume
from corten.engine.volumes.using import Using
from corten.errors import FailedPrecondition, NotFound

_FILES = 120.0  # seconds: a log may have gigabytes


class Remover:
    """``remove_container``, and what is made to be removed."""

    def __init__(self, parts: Parts, signaller: Signaller, using: Using) -> None:
        self._parts = parts
        self._using = using
        self._signaller = signaller

    async def remove(self, tenant: Tenant, ref: str, *, force: bool, volumes: bool = False) -> None:
        """See ``contract.Engine.remove_container``."""
        record = self._parts.view.container(tenant, ref)
        if states.is_running(record) and not force:
            which = {"restarting": "restarting", "paused": "paused"}.get(
                record.state.status, "running"
            )
            raise FailedPrecondition(
                f"You cannot remove a {which} container {record.id}. Stop the container before"
                " attempting removal or force remove"
            )
        await self._parts.operations.run(
            ("remove", record.id), lambda: self._remove(record.id, force, volumes)
        )

    def begin(self, container_id: str) -> asyncio.Task[None]:
        """Remove a container that is made to be removed, in the background, if need be once
        there is space again; failures are logged."""
        return self._parts.operations.background(
            self._quietly(container_id), f"auto-remove-{container_id[:12]}"
        )

    async def _quietly(self, container_id: str) -> None:
        record = self._parts.view.containers.get(container_id)
        if record is None:
            return
        tenant = record.tenant
        await self._parts.operations.insist(
            lambda: self.remove(tenant, container_id, force=False, volumes=True),
            f"the removal of container {container_id[:12]}",
        )

    async def _remove(self, container_id: str, force: bool, volumes: bool) -> None:
        parts = self._parts
        if force:
            await self._end(container_id)
        async with parts.locks.hold(("container", container_id)):
            record = parts.view.containers.get(container_id)
            if record is None:
                raise NotFound(f"No such container: {container_id}")
            if states.is_running(record):
                raise FailedPrecondition(f"container {container_id} was started meanwhile")
            run = parts.runs.get(container_id)
            if run is not None:
                await finish(parts, run, directory=False)
            # A pod's containers have no use for what their image asks for once they are gone.
            volumes = volumes or record.config.auto_remove or record.tenant == "k8s"
            await self.finish(record, volumes=volumes)

    async def _end(self, container_id: str) -> None:
        """Nothing of it runs any more, nor will its policy start it again."""
        record = self._parts.view.containers.get(container_id)
        if record is not None and record.config.restart.name != "no":
            await self._parts.door.commit(lambda tx: not_again(tx, container_id))
            await self._parts.give_up(container_id)
        if container_id in self._parts.runs:
            # A stop with no patience: the same steps, the same errors.
            await self._signaller.finish_stop(container_id, 9, 0)

    async def finish(self, record: Container, *, volumes: bool) -> None:
        """Everything of it in one transaction; its directories, which are on no record then and
        which the next daemon would sweep, in the background. Idempotent.

        Arguments:
            volumes: remove its anonymous volumes too, where nobody else uses them.
        """
        parts = self._parts
        for _request, end in parts.attaching.pop(record.id, ()):
            end.close()

        def step(tx: Tx) -> list[Volume]:
            tx.drop_container(record.id)
            parts.snapshots.leave(tx.connection, record.id)
            tx.container_event(record, "destroy")
            return self._using.give_back(tx, record) if volumes else []

        doomed = await parts.door.commit(step, durable=not record.config.auto_remove)
        directory, what = parts.settings.container_dir(record.id), f"files of {record.id[:12]}"
        delete = parts.files.run(remove_tree, directory, deadline=_FILES)
        parts.operations.background(logged(delete, what), what)
        await self._using.remove(doomed)
