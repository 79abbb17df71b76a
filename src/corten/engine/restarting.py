"""Restarting a container: a stop and a start that are one operation."""

from __future__ import annotations

from corten.engine.door import Tx
from corten.engine.parts import Parts
from corten.engine.starting import Starter
from corten.engine.stopping import Signaller
from corten.engine.types import Container, Tenant
from corten.errors import CortenError, NotModified


class Restarter:
    """``restart_container``. One that is made to be removed with its end stays: its end in the
    middle is none that anybody asked for."""

    def __init__(self, parts: Parts, signaller: Signaller, starter: Starter) -> None:
        self._parts = parts
        self._signaller = signaller
        self._starter = starter

    async def restart(
        self, tenant: Tenant, ref: str, *, timeout: float | None, signal: str
    ) -> Container:
        """See ``contract.Engine.restart_container``."""
        record = self._parts.view.container(tenant, ref)
        number, seconds = self._signaller.choose(record, timeout=timeout, signal=signal)
        return await self._parts.operations.run(
            ("restart", record.id), lambda: self._restart(record, number, seconds)
        )

    async def _restart(self, record: Container, number: int, seconds: float) -> Container:
        parts = self._parts
        intent = await parts.door.commit(
            lambda tx: tx.begin(
                "restart", "container", record.id, record.tenant, signal=number, timeout=seconds
            )
        )
        try:
            started = await self.finish(record, number, seconds)
        except CortenError:
            await parts.door.commit(lambda tx: tx.end(intent))
            raise

        def done(tx: Tx) -> None:
            tx.end(intent)
            tx.container_event(started, "restart")

        await parts.door.commit(done)
        return started

    async def finish(self, record: Container, number: int, seconds: float) -> Container:
        """All of it but the record; also what a crash interrupted."""
        parts = self._parts
        parts.restarting.add(record.id)
        try:
            try:
                await self._signaller.stop(
                    record.tenant, record.id, timeout=seconds, signal=str(number)
                )
            except NotModified:
                pass  # it does not run, which is what was wanted
            return await self._starter.start(record.tenant, record.id)
        finally:
            parts.restarting.discard(record.id)
