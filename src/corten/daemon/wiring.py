"""The one place that names concrete classes: from a configuration to a running engine."""

from __future__ import annotations

from contextlib import AsyncExitStack

import corten
from corten.daemon import places
from corten.daemon.config import Config, cgroup_driver, runtimes
from corten.engine.core import Engine
from corten.engine.logconfig import parse_size
from corten.engine.settings import EngineSettings
from corten.images.service import ImageService
from corten.networks.service import NetworkService
from corten.snapshots.choose import choose
from corten.store import Database


def settings(config: Config, *, root: str, state: str) -> EngineSettings:
    """The engine's settings."""
    return EngineSettings(
        root=root,
        state=state,
        prefix=places.prefix(state),
        version=corten.__version__,
        share_images=config.engine.share_images,
        runtimes=runtimes(config),
        cgroup_driver=cgroup_driver(config),
        cgroup_parent=config.engine.cgroup_parent,
        log_max_size=parse_size(config.engine.log_max_size),
        log_max_files=config.engine.log_max_files,
        event_history=config.engine.event_history,
        start_deadline=config.engine.start_deadline,
    )


async def build(
    config: Config, db: Database, *, root: str, state: str, stack: AsyncExitStack
) -> Engine:
    """A started engine; ``stack`` takes it down again, in the opposite order."""
    engine = Engine(settings(config, root=root, state=state), db)
    snapshots = await choose(root, db)
    await snapshots.recover()
    stack.push_async_callback(snapshots.close)
    images = ImageService(root, db, snapshots, config.images, journal=engine.journal)
    await images.start()
    stack.push_async_callback(images.close)
    networks = NetworkService(
        db=db,
        prefix=places.prefix(state),
        state_dir=state,
        config=config.network,
        journal=engine.network_journal,
    )
    stack.push_async_callback(networks.close)
    stack.push_async_callback(engine.close)
    await engine.start(images=images, snapshots=snapshots, networks=networks)
    return engine
