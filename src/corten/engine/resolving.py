"""The resolver as the daemon holds it: found or started when the first container needs it,
started again when it dies, told who asks for which names."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import ExitStack, suppress

import msgspec

from corten.engine import states
from corten.engine.launching import Launcher
from corten.engine.networking import requests_of
from corten.engine.peer import Peer
from corten.engine.settings import EngineSettings
from corten.engine.trees import fresh_directory
from corten.engine.types import Container
from corten.engine.view import View
from corten.errors import CortenError, NotFound, Unavailable
from corten.launch import client
from corten.launch.messages import CreateResolver, DnsAdd, DnsChange, DnsList, DnsRemove, Message
from corten.networks.names import links_id
from corten.networks.service import NetworkService

_log = logging.getLogger(__name__)
_PATIENCE = 10.0  # seconds for a resolver to answer
_TRIES = 3  # one may be about to end, having had nothing to do
_AGAIN = 0.5  # seconds before one that died is followed by another


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """What the resolver must know of a container."""

    networks: tuple[str, ...]
    servers: tuple[str, ...]
    shut_in: bool


class Resolver:
    """The resolver's process, whichever runs at the moment; none before it is needed."""

    def __init__(self, settings: EngineSettings, launcher: Launcher, view: View) -> None:
        self._settings = settings
        self._launcher = launcher
        self._view = view
        self.networks: NetworkService | None = None
        self._peer: Peer | None = None
        self._making = asyncio.Lock()
        self._places: dict[str, _Place] = {}
        self._mending: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def _run_dir(self) -> str:
        return f"{self._settings.state}/resolver"

    # containers ------------------------------------------------------------------------

    async def recover(self) -> None:
        """Take over the one that an earlier daemon left, and tell it what it does not know."""
        for record in self._view.containers.values():
            place = self._place(record)
            if states.is_running(record) and place is not None:
                self._places[record.id] = place
        if self._places:
            await self._tell_all()

    async def add(self, record: Container, pid: int) -> None:
        """A container is about to run, and asks at 127.0.0.11 where a network of its has names.

        Raises:
            Unavailable: no resolver could be started.
        """
        place = self._place(record)
        if place is not None:
            self._places[record.id] = place
            await self._add(record.id, pid, place)

    async def change(self, record: Container) -> None:
        """A container that runs is connected otherwise than before."""
        place, before = self._place(record), self._places.get(record.id)
        if before is None:
            await self.add(record, record.state.pid)
            return
        if place is None:  # it still asks here, and is told nothing of others any more
            shut_in = not requests_of(record.config)
            place = _Place(networks=(), servers=before.servers, shut_in=shut_in)
        if place == before:
            return
        self._places[record.id] = place
        await self._call(DnsChange(id=record.id, networks=place.networks, shut_in=place.shut_in))

    async def remove(self, container_id: str) -> None:
        """A container has ended; the resolver has mostly seen that itself."""
        if self._places.pop(container_id, None) is not None and self._peer is not None:
            with suppress(CortenError):
                await self._call(DnsRemove(id=container_id), start=False)
        if not self._places and self._peer is not None:
            self._peer.close()  # with nobody to speak to it ends
            self._peer = None

    def _place(self, record: Container) -> _Place | None:
        """None: none of its networks has names."""
        assert self.networks is not None
        found, tables = [], []
        for request in requests_of(record.config):
            with suppress(NotFound):
                network = self.networks.find(request.network)
                found.append(network)
                if request.links and not network.built_in:
                    tables.append(links_id(network.id, record.id))
        named = [network for network in found if not network.built_in]
        if not named:
            return None
        return _Place(
            networks=(*tables, *(network.id for network in named)),
            servers=record.config.dns,
            shut_in=all(network.internal for network in found),
        )

    async def _add(self, container_id: str, pid: int, place: _Place) -> None:
        with ExitStack() as held:
            fds = {}
            try:
                fds["netns"] = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
                held.callback(os.close, fds["netns"])
                fds["pidfd"] = os.pidfd_open(pid)
                held.callback(os.close, fds["pidfd"])
            except (FileNotFoundError, ProcessLookupError):
                return  # it has ended
            request = DnsAdd(
                id=container_id,
                networks=place.networks,
                servers=place.servers,
                shut_in=place.shut_in,
            )
            await self._call(request, fds)

    # the process -----------------------------------------------------------------------

    async def _call(
        self, request: Message, fds: dict[str, int] | None = None, *, start: bool = True
    ) -> None:
        for attempt in range(_TRIES):
            peer = await self._connected() if start else self._peer
            if peer is None:
                return
            try:
                async with asyncio.timeout(_PATIENCE):
                    await peer.call(request, fds)
                return
            except TimeoutError:
                raise Unavailable("the resolver does not answer") from None
            except Unavailable:  # it died just now
                if attempt == _TRIES - 1 or not start:
                    raise

    async def _connected(self) -> Peer:
        async with self._making:
            if self._peer is None or self._peer.closed:
                async with asyncio.timeout(_PATIENCE):
                    self._peer = await self._find() or await self._make()
            return self._peer

    async def _find(self) -> Peer | None:
        while client.is_locked(self._run_dir):
            with suppress(NotFound, Unavailable):
                connection = client.connect_monitor(self._run_dir)
                return Peer(connection, name="the resolver", on_close=self._died)
            await asyncio.sleep(0.01)
        return None

    async def _make(self) -> Peer:
        fresh_directory(self._run_dir)
        request = CreateResolver(
            run_dir=self._run_dir,
            tables=f"{self._settings.state}/names",
        )
        peer, forked = await self._launcher.create(
            request, {}, on_event=lambda _event: None, on_close=self._died
        )
        pidfd = await forked
        if pidfd >= 0:
            os.close(pidfd)
        reply = await peer.expect_first()
        reply.close_fds()
        reply.result()
        return peer

    def _died(self) -> None:
        if self._places and not self._closed and self._mending is None:
            _log.warning("the resolver has ended; starting another")
            self._mending = asyncio.create_task(self._mend(), name="resolver")

    async def _mend(self) -> None:
        try:
            while not self._closed:
                await asyncio.sleep(_AGAIN)
                try:
                    await self._tell_all()
                    return
                except (CortenError, TimeoutError) as error:
                    _log.error("the resolver can't be started: %s; trying again", error)
        finally:
            self._mending = None

    async def _tell_all(self) -> None:
        """Tell it of everyone that it does not know."""
        peer = await self._connected()
        reply = await peer.call(DnsList())
        known = set(reply.get("ids", ()))
        for container_id, place in list(self._places.items()):
            record = self._view.containers.get(container_id)
            if record is None or not states.is_running(record):
                self._places.pop(container_id, None)
            elif container_id not in known:
                await self._add(container_id, record.state.pid, place)
            else:
                change = DnsChange(id=container_id, networks=place.networks, shut_in=place.shut_in)
                await peer.call(change)

    async def close(self) -> None:
        """Let go; it lives on as long as a container needs it."""
        self._closed = True
        if self._mending is not None:
            self._mending.cancel()
            await asyncio.gather(self._mending, return_exceptions=True)
        if self._peer is not None:
            self._peer.close()
