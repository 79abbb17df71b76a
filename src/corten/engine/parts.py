"""What the engine's modules share: one of each, wired in ``core``."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from corten.engine.boot import boot_id
from corten.engine.door import Door
from corten.engine.events import EventLog
from corten.engine.hostfacts import HostFacts
from corten.engine.hostfacts import read as read_host
from corten.engine.launching import Launcher
from corten.engine.locks import Locks
from corten.engine.monitors import EventSink, Monitor
from corten.engine.netns import NetnsPool
from corten.engine.operations import Operations
from corten.engine.pools import Pool
from corten.engine.resolving import Resolver
from corten.engine.settings import EngineSettings
from corten.engine.types import Tenant
from corten.engine.view import View
from corten.engine.waiters import Waiters
from corten.launch.messages import Attach
from corten.store import Database

if TYPE_CHECKING:
    from corten.engine.runs import Run
    from corten.images.service import ImageService
    from corten.networks.service import NetworkService
    from corten.snapshots.protocol import Snapshotter


async def _nothing(_container_id: str) -> bool:
    return False


class Parts:
    """The shared parts of one engine.

    Attributes:
        runs: containers whose monitor lives or is being cleaned up after, by id.
        files, paths, groups: pools for our own directories, for paths that users name, and
            for cgroups.
        pod_monitors: of pods that are ready, by id.
        give_up: ends the waiting of a container whose policy would start it again; whether it
            was waiting.
        auto_remove: begins the removal of a container that is made to be removed; may be
            awaited.
        freeze: pauses (True) or resumes a container.
        restarting: containers whose end in the middle of a restart removes nothing.
        attaching: streams that were handed out for containers before their start.
    """

    images: ImageService
    snapshots: Snapshotter
    networks: NetworkService

    def __init__(self, settings: EngineSettings, db: Database, *, boot: str = "") -> None:
        self.settings = settings
        self.db = db
        self.boot_id = boot or boot_id()
        self.host: HostFacts = read_host()
        self.view = View()
        self.door = Door(db, self.view, boot_id=self.boot_id, keep_events=settings.event_history)
        self.events = EventLog(db, self.door)
        self.waiters = Waiters(self.view)
        self.door.listen(self.waiters.published)
        self.locks = Locks()
        self.operations = Operations()
        self.files = Pool("files", 4)
        self.paths = Pool("paths", 4)
        self.groups = Pool("groups", 4)
        self.launcher = Launcher(settings)
        self.netns = NetnsPool(self.launcher)
        self.resolver = Resolver(settings, self.launcher, self.view)
        self.runs: dict[str, Run] = {}
        self.pod_monitors: dict[str, Monitor] = {}
        self.attaching: dict[str, list[tuple[Attach, socket.socket]]] = {}
        self.restarting: set[str] = set()
        self.sink = EventSink()
        self.give_up: Callable[[str], Awaitable[bool]] = _nothing
        self.auto_remove: Callable[[str], asyncio.Task[None]]
        self.freeze: Callable[[Tenant, str, bool], Awaitable[None]]
