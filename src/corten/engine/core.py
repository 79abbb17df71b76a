"""The engine: the modules of this package behind the methods of ``contract.Engine``."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from corten.engine import facts, states, statistics
from corten.engine.changing import Changer
from corten.engine.closing import closing
from corten.engine.contract import ProgressSink, WaitCondition
from corten.engine.copying import Copier
from corten.engine.creating import Creator
from corten.engine.disk import Disk
from corten.engine.exchange import Exchange
from corten.engine.execs import Execs, OnStarted
from corten.engine.explaining.service import Explainer
from corten.engine.explaining.types import Explanation
from corten.engine.health import HealthKeeper
from corten.engine.identities import identity_of
from corten.engine.joining import Joiner
from corten.engine.library import Library
from corten.engine.logs import Query, read_log
from corten.engine.netadmin import NetworkAdmin
from corten.engine.operations import logged
from corten.engine.parts import Parts
from corten.engine.podding import Pods
from corten.engine.policies import Policies
from corten.engine.recovery import Recovery
from corten.engine.removing import Remover
from corten.engine.restarting import Restarter
from corten.engine.runs import Runs
from corten.engine.settings import EngineSettings
from corten.engine.starting import Starter
from corten.engine.stopping import Signaller
from corten.engine.streams import Streams
from corten.engine.types import (
    Auth,
    Changes,
    Container,
    ContainerConfig,
    ContainerUsage,
    DiskUsage,
    Event,
    Exec,
    ExecConfig,
    ExitStatus,
    HistoryEntry,
    Identity,
    Image,
    LogLine,
    NetworkRequest,
    Pod,
    PodConfig,
    Pruned,
    PruneFilter,
    Stats,
    Tenant,
    Volume,
)
from corten.engine.volumes.service import Volumes
from corten.engine.volumes.using import Using
from corten.errors import InvalidArgument
from corten.launch import groups
from corten.launch.messages import ReopenLog
from corten.networks.explain import Way
from corten.networks.types import Network, NetworkSpec, PodNetworkStatus
from corten.spec.descriptor import Descriptor
from corten.spec.platform import Platform
from corten.store import Database

if TYPE_CHECKING:
    from corten.images.making import Loaded
    from corten.images.push import Pushed
    from corten.images.service import ImageService
    from corten.images.trees.service import FileChange, PathStat, Transfer
    from corten.images.types import Change, ImageRecord
    from corten.networks.service import NetworkService
    from corten.snapshots.protocol import Snapshotter

_LAST = 5.0  # seconds for the launcher's own processes to end
_SETTLE = 10.0  # seconds that a clean stop gives to operations under way


class Engine:
    """Implements ``contract.Engine``, whose docstrings hold for these methods."""

    def __init__(self, settings: EngineSettings, db: Database, *, boot_id: str = "") -> None:
        """Wire up; no effect before :meth:`start`. Needs a running loop.

        Arguments:
            boot_id: which boot this is; empty: asked of the kernel.
        """
        parts = self._parts = Parts(settings, db, boot=boot_id)
        self._library = Library(parts)
        self._signaller = Signaller(parts)
        self._volumes = Volumes(parts)
        using = Using(parts, self._volumes)
        self._remover = Remover(parts, self._signaller, using)
        self._creator = Creator(parts, self._library, using)
        self._runs = Runs(parts, self._exited)
        self._joiner = Joiner(parts)
        self._starter = Starter(parts, self._runs, self._joiner, using)
        self._restarter = Restarter(parts, self._signaller, self._starter)
        self._changer = Changer(parts)
        self._policies = Policies(parts, self._starter)
        self._streams = Streams(parts)
        self._execs = Execs(parts)
        self._health = HealthKeeper(parts)
        self._pods = Pods(parts, self._signaller, self._remover)
        self._networks = NetworkAdmin(parts)
        self._copier = Copier(parts, self._library)
        self._exchange = Exchange(parts, self._library)
        self._disk = Disk(parts, self._library, self._remover)
        self._explainer = Explainer(parts, self._library, self._volumes)
        parts.auto_remove = self._remover.begin
        parts.freeze = self._freeze

    # life ------------------------------------------------------------------------------

    def journal(self, connection: sqlite3.Connection, change: Change) -> None:
        """The images' journal: writes the event of a change in its transaction."""
        self._library.journal(connection, change)

    def network_journal(
        self, connection: sqlite3.Connection, action: str, network: Network
    ) -> None:
        """The networks' journal: writes the event of a change in its transaction."""
        self._networks.journal(connection, action, network)

    async def start(
        self, *, images: ImageService, snapshots: Snapshotter, networks: NetworkService
    ) -> None:
        """Recover what an earlier daemon left, then start the launcher."""
        parts = self._parts
        parts.images, parts.snapshots, parts.networks = images, snapshots, networks
        parts.resolver.networks = networks
        for name in ("run", "pods", "podfiles", "netns", "rootfs"):
            os.makedirs(f"{parts.settings.state}/{name}", mode=0o711, exist_ok=True)
        for name in ("containers", "volumes"):
            os.makedirs(f"{parts.settings.root}/{name}", mode=0o711, exist_ok=True)
        recovery = Recovery(
            parts,
            creator=self._creator,
            runs=self._runs,
            signaller=self._signaller,
            remover=self._remover,
            restarter=self._restarter,
            execs=self._execs,
            pods=self._pods,
            volumes=self._volumes,
        )
        await recovery.run()
        parts.launcher.start()
        await parts.launcher.ready()
        await logged(parts.resolver.recover(), "resolver")
        parts.netns.fill()
        self._policies.resume()

    async def close(self) -> None:
        """A clean stop: operations under way get a moment, containers go on."""
        parts = self._parts
        parts.events.close()
        await parts.netns.close()
        await parts.operations.settle(_SETTLE)
        await parts.resolver.close()
        await parts.launcher.stop()
        for run in list(parts.runs.values()):
            run.monitor.close()
        for monitor in list(parts.pod_monitors.values()):
            monitor.close()
        # What the launcher had forked ahead ends a moment after it; monitors stay.
        patience = 0.0 if parts.runs or parts.pod_monitors else _LAST
        for path in (parts.settings.monitors_cgroup, f"/{parts.settings.prefix}"):
            await parts.groups.run(groups.remove_group_if_empty, path, patience, deadline=10.0)
        for pool in (parts.files, parts.paths, parts.groups):
            pool.close()

    def _exited(self, container_id: str) -> None:
        record = self._parts.view.containers.get(container_id)
        if container_id in self._parts.restarting:
            return
        if record is None:
            return
        if record.config.auto_remove:
            self._remover.begin(container_id)
        else:
            self._policies.after_exit(record)

    # containers ------------------------------------------------------------------------

    async def create_container(
        self,
        tenant: Tenant,
        config: ContainerConfig,
        *,
        name: str = "",
        pod_id: str = "",
        attempt: int = 0,
        origin: dict[str, Any] | None = None,
    ) -> Container:
        return await self._creator.create(
            tenant, config, name=name, pod_id=pod_id, attempt=attempt, origin=origin
        )

    async def start_container(self, tenant: Tenant, ref: str) -> Container:
        return await self._starter.start(tenant, ref)

    async def stop_container(
        self, tenant: Tenant, ref: str, *, timeout: float | None = None, signal: str = ""
    ) -> Container:
        return await self._signaller.stop(tenant, ref, timeout=timeout, signal=signal)

    async def restart_container(
        self, tenant: Tenant, ref: str, *, timeout: float | None = None, signal: str = ""
    ) -> Container:
        return await self._restarter.restart(tenant, ref, timeout=timeout, signal=signal)

    async def kill_container(self, tenant: Tenant, ref: str, *, signal: str = "KILL") -> None:
        await self._signaller.kill(tenant, ref, signal=signal)

    async def wait_container(
        self, tenant: Tenant, ref: str, *, condition: WaitCondition = "not-running"
    ) -> ExitStatus:
        status: ExitStatus = await self.exit_waiter(tenant, ref, condition=condition)()
        return status

    def exit_waiter(
        self, tenant: Tenant, ref: str, *, condition: WaitCondition = "not-running"
    ) -> Callable[[], Any]:
        record = self._parts.view.container(tenant, ref)
        return self._parts.waiters.subscribe(record, condition)

    async def remove_container(
        self, tenant: Tenant, ref: str, *, force: bool = False, volumes: bool = False
    ) -> None:
        await self._remover.remove(tenant, ref, force=force, volumes=volumes)

    async def pause_container(self, tenant: Tenant, ref: str) -> None:
        await self._signaller.pause(tenant, ref)

    async def unpause_container(self, tenant: Tenant, ref: str) -> None:
        await self._signaller.unpause(tenant, ref)

    def get_container(self, tenant: Tenant, ref: str) -> Container:
        return self._parts.view.container(tenant, ref)

    def list_containers(self, tenant: Tenant) -> Sequence[Container]:
        found = [c for c in self._parts.view.containers.values() if c.tenant == tenant]
        return sorted(found, key=lambda c: c.created_at, reverse=True)

    async def resize_container(self, tenant: Tenant, ref: str, rows: int, cols: int) -> None:
        await self._signaller.resize(tenant, ref, rows, cols)

    async def attach_container(
        self,
        tenant: Tenant,
        ref: str,
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
    ) -> socket.socket:
        return await self._streams.attach(tenant, ref, stdin=stdin, stdout=stdout, stderr=stderr)

    async def logs(
        self,
        tenant: Tenant,
        ref: str,
        *,
        stdout: bool = True,
        stderr: bool = True,
        follow: bool = False,
        tail: int | None = None,
        since: int = 0,
        until: int = 0,
    ) -> AsyncIterator[LogLine]:
        record = self._parts.view.container(tenant, ref)
        if not record.log_path:
            raise InvalidArgument("configured logging driver does not support reading")
        run = self._parts.runs.get(record.id)
        query = Query(
            stdout=stdout,
            stderr=stderr,
            follow=follow and run is not None and states.is_running(record),
            tail=tail,
            since=since,
            until=until,
        )
        ended = None if run is None else run.finished
        kind = record.config.log.driver
        found = read_log(self._parts.files, record.log_path, kind, query, ended)
        async with closing(found) as lines:
            async for line in lines:
                yield line

    async def reopen_log(self, tenant: Tenant, ref: str) -> None:
        """Open the log's path again, after the kubelet renamed the file."""
        record = states.require_running(self._parts.view.container(tenant, ref))
        await self._parts.runs[record.id].monitor.call(ReopenLog())

    async def update_container(self, tenant: Tenant, ref: str, changes: Changes) -> Container:
        return await self._changer.update(tenant, ref, changes)

    async def rename_container(self, tenant: Tenant, ref: str, name: str) -> Container:
        return await self._changer.rename(tenant, ref, name)

    def container_identity(self, tenant: Tenant, ref: str) -> Identity | None:
        record = self._parts.view.container(tenant, ref)
        return identity_of(record.state.pid) if states.is_running(record) else None

    async def top_container(self, tenant: Tenant, ref: str) -> list[int]:
        return await self._signaller.top(tenant, ref)

    async def container_stats(self, tenant: Tenant, ref: str) -> Stats:
        return await statistics.container_stats(self._parts, tenant, ref)

    async def _freeze(self, tenant: Tenant, ref: str, frozen: bool) -> None:
        act = self._signaller.pause if frozen else self._signaller.unpause
        await act(tenant, ref)

    # containers' files -----------------------------------------------------------------

    async def stat_path(self, tenant: Tenant, ref: str, path: str) -> PathStat:
        return await self._copier.stat(tenant, ref, path)

    async def copy_out(self, tenant: Tenant, ref: str, path: str) -> Transfer[None]:
        return await self._copier.read(tenant, ref, path)

    async def copy_in(
        self,
        tenant: Tenant,
        ref: str,
        path: str,
        *,
        keep_kinds: bool = True,
        keep_owner: bool = False,
    ) -> Transfer[None]:
        return await self._copier.write(
            tenant, ref, path, keep_kinds=keep_kinds, keep_owner=keep_owner
        )

    async def container_changes(self, tenant: Tenant, ref: str) -> Sequence[FileChange]:
        return await self._copier.changes(tenant, ref)

    async def export_container(self, tenant: Tenant, ref: str) -> Transfer[None]:
        return await self._copier.export(tenant, ref)

    async def commit_container(
        self,
        tenant: Tenant,
        ref: str,
        *,
        name: str = "",
        author: str = "",
        comment: str = "",
        changes: Sequence[str] = (),
        config: dict[str, Any] | None = None,
        pause: bool = True,
    ) -> Image:
        return await self._copier.commit(
            tenant,
            ref,
            name=name,
            author=author,
            comment=comment,
            changes=changes,
            config=config,
            pause=pause,
        )

    # execs -----------------------------------------------------------------------------

    async def create_exec(self, tenant: Tenant, ref: str, config: ExecConfig) -> Exec:
        return await self._execs.create(tenant, ref, config)

    async def start_exec(
        self, tenant: Tenant, exec_id: str, *, stream: bool, tty: bool | None = None
    ) -> socket.socket | None:
        return await self._execs.start(tenant, exec_id, stream=stream, tty=tty)

    async def run_exec(
        self, tenant: Tenant, ref: str, config: ExecConfig, *, stream: bool, started: OnStarted
    ) -> Exec:
        return await self._execs.run(tenant, ref, config, stream=stream, started=started)

    async def wait_exec(self, tenant: Tenant, exec_id: str) -> int:
        return await self._execs.wait(tenant, exec_id)

    def get_exec(self, tenant: Tenant, exec_id: str) -> Exec:
        return self._parts.view.exec(tenant, exec_id)

    def list_execs(self, tenant: Tenant, ref: str) -> Sequence[Exec]:
        return self._parts.view.execs_of(self._parts.view.container(tenant, ref).id)

    async def resize_exec(self, tenant: Tenant, exec_id: str, rows: int, cols: int) -> None:
        await self._execs.resize(tenant, exec_id, rows, cols)

    async def kill_exec(self, tenant: Tenant, exec_id: str, *, signal: str = "KILL") -> None:
        await self._execs.kill(tenant, exec_id, signal=signal)

    # pods ------------------------------------------------------------------------------

    async def run_pod(self, tenant: Tenant, config: PodConfig) -> Pod:
        return await self._pods.run(tenant, config)

    async def stop_pod(self, tenant: Tenant, pod_id: str) -> None:
        await self._pods.stop(tenant, pod_id)

    async def remove_pod(self, tenant: Tenant, pod_id: str) -> None:
        await self._pods.remove(tenant, pod_id)

    def get_pod(self, tenant: Tenant, pod_id: str) -> Pod:
        return self._parts.view.pod(tenant, pod_id)

    def list_pods(self, tenant: Tenant) -> Sequence[Pod]:
        return [pod for pod in self._parts.view.pods.values() if pod.tenant == tenant]

    async def pod_network_status(self) -> PodNetworkStatus:
        return await self._parts.networks.pod_status()

    # images ----------------------------------------------------------------------------

    async def pull_image(
        self,
        tenant: Tenant,
        ref: str,
        *,
        platform: str = "",
        auth: Auth | None = None,
        progress: ProgressSink | None = None,
    ) -> Image:
        return await self._library.pull(
            tenant, ref, platform=platform, auth=auth, progress=progress
        )

    async def image_from_host(
        self, tenant: Tenant, tag: str, programs: Sequence[str], *, cmd: Sequence[str] = ()
    ) -> Image:
        return await self._library.from_host(tenant, tag, programs, cmd)

    async def ensure_hello(self, tenant: Tenant) -> Image:
        return await self._library.ensure_hello(tenant)

    def get_image(self, tenant: Tenant, ref: str) -> Image:
        return self._library.get(tenant, ref)

    def list_images(self, tenant: Tenant) -> Sequence[Image]:
        return self._library.all(tenant)

    async def remove_image(self, tenant: Tenant, ref: str, *, force: bool = False) -> list[Event]:
        return await self._library.remove(tenant, ref, force=force)

    # volumes ---------------------------------------------------------------------------

    async def create_volume(
        self,
        tenant: Tenant,
        name: str = "",
        *,
        driver: str = "",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        return await self._volumes.create(
            tenant, name, driver=driver, options=options, labels=labels
        )

    def get_volume(self, tenant: Tenant, name: str) -> Volume:
        return self._volumes.get(tenant, name)

    def list_volumes(self, tenant: Tenant) -> Sequence[Volume]:
        return self._volumes.all(tenant)

    async def remove_volume(self, tenant: Tenant, name: str, *, force: bool = False) -> None:
        await self._volumes.remove(tenant, name, force=force)

    async def prune_volumes(
        self, tenant: Tenant, names: Sequence[str] | None = None
    ) -> tuple[list[str], int]:
        return await self._volumes.prune(tenant, names)

    async def volume_size(self, tenant: Tenant, name: str) -> int:
        return await self._volumes.size(self._volumes.get(tenant, name))

    # networks --------------------------------------------------------------------------

    async def create_network(self, tenant: Tenant, spec: NetworkSpec) -> Network:
        return await self._networks.create(tenant, spec)

    def get_network(self, tenant: Tenant, ref: str) -> Network:
        return self._parts.networks.find(ref, tenant)

    def list_networks(self, tenant: Tenant) -> Sequence[Network]:
        return self._parts.networks.networks(tenant)

    async def remove_network(self, tenant: Tenant, ref: str) -> Network:
        return await self._networks.remove(tenant, ref)

    async def connect_network(self, tenant: Tenant, ref: str, request: NetworkRequest) -> None:
        await self._networks.connect(tenant, ref, request)

    async def disconnect_network(
        self, tenant: Tenant, ref: str, network: str, *, force: bool = False
    ) -> None:
        await self._networks.disconnect(tenant, ref, network, force=force)

    async def prune_networks(
        self, tenant: Tenant, wanted: Callable[[Network], bool]
    ) -> Sequence[Network]:
        return await self._networks.prune(tenant, wanted)

    async def explain_network(
        self, tenant: Tenant, src: str, dst: str, *, port: int = 0, protocol: str = "tcp"
    ) -> Way:
        return await self._networks.explain(tenant, src, dst, port=port, protocol=protocol)

    async def tag_image(self, tenant: Tenant, ref: str, name: str) -> Image:
        return await self._library.tag(tenant, ref, name)

    def image_history(self, tenant: Tenant, ref: str) -> Sequence[HistoryEntry]:
        return self._library.history(tenant, ref)

    async def import_image(
        self,
        tenant: Tenant,
        name: str = "",
        *,
        changes: Sequence[str] = (),
        comment: str = "",
        platform: str = "",
    ) -> Transfer[ImageRecord]:
        return await self._exchange.imported(
            tenant, name, changes=changes, comment=comment, platform=platform
        )

    async def load_images(
        self, tenant: Tenant, *, progress: ProgressSink | None = None
    ) -> Transfer[Sequence[Loaded]]:
        return await self._exchange.load(tenant, progress)

    async def save_images(self, tenant: Tenant, refs: Sequence[str]) -> Transfer[None]:
        return await self._exchange.save(tenant, refs)

    async def push_image(
        self,
        tenant: Tenant,
        ref: str,
        *,
        auth: Auth | None = None,
        progress: ProgressSink | None = None,
    ) -> Pushed:
        return await self._exchange.push(tenant, ref, auth=auth, progress=progress)

    def repository_names(self, tenant: Tenant, repository: str) -> Sequence[str]:
        return self._exchange.names_of(tenant, repository)

    async def repository_tags(self, ref: str, *, auth: Auth | None = None) -> Sequence[str]:
        return await self._exchange.tags(ref, auth)

    async def remote_image(
        self, tenant: Tenant, ref: str, *, auth: Auth | None = None
    ) -> tuple[Descriptor, Sequence[Platform]]:
        return await self._exchange.look(tenant, ref, auth)

    async def check_login(self, server: str, auth: Auth) -> None:
        await self._exchange.check_login(server, auth)

    # space -----------------------------------------------------------------------------

    async def explain(self, tenant: Tenant, ref: str, *, kind: str = "") -> Explanation:
        return await self._explainer.explain(tenant, ref, kind=kind)

    async def disk_usage(self, tenant: Tenant) -> DiskUsage:
        return await self._disk.usage(tenant)

    async def container_size(self, tenant: Tenant, ref: str) -> ContainerUsage:
        return await self._disk.container(tenant, ref)

    async def prune_images(
        self,
        tenant: Tenant,
        wanted: PruneFilter | None = None,
        *,
        everything: bool = False,
        dry_run: bool = False,
    ) -> Pruned:
        return await self._disk.prune_images(
            tenant, wanted or PruneFilter(), everything=everything, dry_run=dry_run
        )

    async def prune_containers(
        self, tenant: Tenant, wanted: PruneFilter | None = None, *, dry_run: bool = False
    ) -> Pruned:
        return await self._disk.prune_containers(tenant, wanted or PruneFilter(), dry_run=dry_run)

    # the rest --------------------------------------------------------------------------

    def events(
        self,
        tenant: Tenant | None,
        *,
        since: int | None = None,
        until: int | None = None,
        from_seq: int | None = None,
    ) -> AsyncIterator[Event]:
        return self._parts.events.follow(tenant, since=since, until=until, from_seq=from_seq)

    def info(self) -> dict[str, Any]:
        return facts.info(self._parts)

    async def network_status(self) -> Any:
        """Whether pods can get a network now (``networks.types.PodNetworkStatus``)."""
        return await self._parts.networks.pod_status()
