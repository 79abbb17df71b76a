"""A small stock of network namespaces, made ahead."""

from __future__ import annotations

import asyncio
import os

import msgspec

from corten.engine.launching import Launcher
from corten.errors import CortenError

# Seconds after one was taken: its container is nearly made by then, so that the refill does not
# compete with it, and containers that are made one after the other find a full stock.
_REFILL_AFTER = 0.02


class Netns(msgspec.Struct, kw_only=True):
    """A network namespace nobody uses yet; the owner closes it."""

    fd: int
    netlink: int

    def close(self) -> None:
        """Close both descriptors; the namespace goes when nobody else holds it. Idempotent."""
        for name in ("fd", "netlink"):
            number = getattr(self, name)
            if number >= 0:
                os.close(number)
                setattr(self, name, -1)


class NetnsPool:
    """Takes from the stock, and refills it a little later."""

    def __init__(self, launcher: Launcher, size: int = 2) -> None:
        self._launcher = launcher
        self._size = size
        self._stock: list[Netns] = []
        self._timer: asyncio.TimerHandle | None = None
        self._filling: asyncio.Task[None] | None = None
        self._closed = False

    async def take(self) -> Netns:
        """A namespace of the caller's own. Raises what the launcher answers."""
        self._later()
        if self._stock:
            return self._stock.pop()
        return await self._make()

    def fill(self) -> None:
        """Begin to fill it, at the start of the daemon."""
        self._later()

    async def close(self) -> None:
        """Give the stock up."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._filling is not None:
            await asyncio.gather(self._filling, return_exceptions=True)
        for one in self._stock:
            one.close()
        self._stock.clear()

    async def _make(self) -> Netns:
        fd, netlink = await self._launcher.netns()
        return Netns(fd=fd, netlink=netlink)

    def _later(self) -> None:
        if self._timer is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_REFILL_AFTER, self._begin)

    def _begin(self) -> None:
        self._timer = None
        if self._filling is None or self._filling.done():
            self._filling = asyncio.create_task(self._fill(), name="netns-pool")

    async def _fill(self) -> None:
        while len(self._stock) < self._size and not self._closed:
            try:
                self._stock.append(await self._make())
            except CortenError:
                return  # whoever needs one asks again and gets the error
