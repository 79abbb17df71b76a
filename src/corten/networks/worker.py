"""The threads in which networks block: one that makes, one that removes.

Removing a link waits 15 to 25 ms for the kernel's RCU; nothing that starts waits behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from corten.networks.host import translated

T = TypeVar("T")


class Workers:
    """Two threads, started at their first use."""

    def __init__(self) -> None:
        self._make = ThreadPoolExecutor(1, thread_name_prefix="net-make")
        self._remove = ThreadPoolExecutor(1, thread_name_prefix="net-remove")

    async def make(self, step: str, function: Callable[..., T], *args: object) -> T:
        """Run in the making thread; ``OSError`` comes back as a ``CortenError``."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._make, translated, step, function, *args)

    async def remove(self, step: str, function: Callable[..., T], *args: object) -> T:
        """The same in the removing thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._remove, translated, step, function, *args)

    def close(self) -> None:
        self._make.shutdown()
        self._remove.shutdown()
