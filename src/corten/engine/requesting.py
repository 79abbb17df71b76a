"""What the launcher is told to make a container: files, devices, configuration, request."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import Any

import msgspec

from corten.engine import etcfiles, healthrules, hostfacts, links, logconfig, specgen
from corten.engine.joining import Joiner
from corten.engine.networking import Plug
from corten.engine.parts import Parts
from corten.engine.specgen import capabilities
from corten.engine.specgen.build import Surroundings
from corten.engine.specgen.build import hostname as hostname_of
from corten.engine.specgen.devices import HostDevice
from corten.engine.specgen.mounts import bound_device
from corten.engine.specgen.signals import signal_number, stop_timeout
from corten.engine.trees import fresh_directory
from corten.engine.types import Container, ExecConfig, MountRequest, Volume
from corten.engine.volumes import files
from corten.engine.volumes.using import Using
from corten.errors import InvalidArgument
from corten.images.host import view as hostview
from corten.launch.messages import Create, RuntimeChoice
from corten.launch.wire import sealed_memfd
from corten.spec._struct import replace
from corten.spec.mount import Mount

_PATHS = 10.0  # seconds for a look at paths that the user named
_FILES = 30.0
_VOLATILE = "volatile"


class Requests:
    """Prepares what a start needs on the disk, and the message."""

    def __init__(self, parts: Parts, joiner: Joiner, using: Using) -> None:
        self._parts = parts
        self._using = using
        self._joiner = joiner

    async def prepare(self, record: Container, plug: Plug) -> None:
        """An empty run directory, the container's own, and the files that will be mounted in the
        container."""
        volumes = self._using.of(record)

        def work() -> None:
            fresh_directory(self._parts.settings.run_dir(record.id))
            os.makedirs(self._parts.settings.container_dir(record.id), mode=0o710, exist_ok=True)
            forget_volatile(self._root(record))
            for volume in volumes.values():
                if not volume.options:
                    files.make(os.path.dirname(volume.path))
            if not record.pod_id:
                self._write_etc(record, plug)

        await self._parts.files.run(work, deadline=_FILES)

    async def write_etc(self, record: Container, plug: Plug) -> None:
        """hosts, hostname and resolv.conf again, when the address is known."""
        await self._parts.files.run(self._write_etc, record, plug, deadline=_FILES)

    def _linked(self, record: Container) -> Container:
        if not record.config.links:
            return record
        env = links.environment(self._parts.view, record) + record.config.env
        return msgspec.structs.replace(
            record, config=msgspec.structs.replace(record.config, env=env)
        )

    def _write_etc(self, record: Container, plug: Plug) -> None:
        complete = not plug.attaches or bool(plug.addresses)
        etcfiles.write(
            etcfiles.paths(self._parts.settings.container_dir(record.id)),
            record.config,
            hostname=hostname_of(record, self._parts.host.hostname),
            own_network=record.config.namespaces.network != "host",
            addresses=plug.addresses,
            gateway=plug.gateway,
            embedded=plug.embedded,
            complete=complete,
            links=links.lines(self._parts.view, record, alive=True) if complete else (),
        )

    async def build(
        self, record: Container, spaces: dict[str, int], held: ExitStack
    ) -> tuple[Create, dict[str, int]]:
        """The request and its descriptors.

        Arguments:
            spaces: namespaces to join, by type.
            held: closes what is opened here.
        """
        parts, config = self._parts, record.config
        cgroup = parts.settings.container_cgroup(record.id, config.cgroup_parent)
        around = await self._surroundings(record, cgroup)
        document = json.dumps(specgen.build(self._linked(record), around)).encode()
        memfd = sealed_memfd("config.json", document)
        held.callback(os.close, memfd)
        privileged = config.security.privileged
        request = Create(
            id=record.id,
            tenant=record.tenant,
            run_dir=parts.settings.run_dir(record.id),
            bundle=parts.settings.run_dir(record.id),
            rootfs=around.rootfs,
            rootfs_mounts=tuple(m.to_dict() for m in self._root(record)),
            runtime=self._runtime(config.runtime).to_dict(),
            log=logconfig.monitor_log(parts.settings, record).to_dict(),
            tty=config.tty,
            stdin_open=config.open_stdin,
            stdin_once=config.stdin_once,
            console_size=config.console_size or (0, 0),
            cgroup=cgroup,
            monitor_cgroup=self._joiner.monitor_cgroup(record),
            stop_signal=str(signal_number(config.stop_signal or "TERM")),
            stop_timeout=stop_timeout(config),
            systemd_cgroup=parts.settings.cgroup_driver == "systemd",
            health=self._health(record),
            seccomp="" if privileged else _seccomp(config.security.seccomp),
        )
        return request, {"config": memfd, **{f"ns.{kind}": fd for kind, fd in spaces.items()}}

    def _health(self, record: Container) -> dict[str, Any]:
        config = record.config
        words = healthrules.program(config.health)
        if not words or config.health is None:
            return {}
        process = specgen.exec_process(
            ExecConfig(args=words),
            config,
            hostname=hostname_of(record, self._parts.host.hostname),
            capabilities=capabilities.granted(config.security, self._parts.host.capabilities),
        )
        return healthrules.request(config.health, process)

    def _root(self, record: Container) -> tuple[Mount, ...]:
        mounts = self._parts.snapshots.mounts(record.id)
        if record.image_id == hostview.ID:
            mounts = (*mounts, *hostview.mounts())
        return volatile(mounts) if record.config.auto_remove else mounts

    async def _surroundings(self, record: Container, cgroup: str) -> Surroundings:
        host = self._parts.host
        devices, host_devices = await self._look_up(record)
        return Surroundings(
            cgroup=cgroup,
            rootfs=self._parts.settings.rootfs_dir,
            capabilities=host.capabilities,
            files=self._joiner.files(record),
            devices=devices,
            host_devices=host_devices,
            swap_accounting=host.swap_accounting,
            shm=self._joiner.shm(record),
            host_hostname=host.hostname,
            volumes=self._using.of(record),
        )

    async def _look_up(self, record: Container) -> tuple[list[HostDevice], list[HostDevice]]:
        """Paths that the user named, looked at in a pool: they may hang."""
        config, paths = record.config, self._parts.paths
        found = [
            await paths.run(hostfacts.device, request.host_path, deadline=_PATHS)
            for request in config.devices
        ]
        binds = [mount for mount in config.mounts if mount.type == "bind"]
        binds += _devices_of_volumes(self._using.of(record).values())
        if binds:
            await paths.run(check_sources, binds, deadline=_PATHS)
        every: list[HostDevice] = []
        if config.security.privileged:
            every = await paths.run(hostfacts.all_devices, deadline=_PATHS)
        return found, every

    def _runtime(self, name: str) -> RuntimeChoice:
        if name in ("", "native"):
            return RuntimeChoice()
        found = self._parts.settings.runtimes.get(name)
        if found is None:
            raise InvalidArgument(f"unknown or invalid runtime name: {name}")
        return RuntimeChoice(kind="binary", path=found.path, args=found.args)


def _devices_of_volumes(volumes: Iterable[Volume]) -> list[MountRequest]:
    """The directories of the host that volumes stand for."""
    return [
        MountRequest(type="volume", source=device, target=volume.path)
        for volume in volumes
        if (device := bound_device(volume))
    ]


def _seccomp(setting: str) -> str:
    """The launcher's word for a profile setting."""
    return "" if setting == "unconfined" else setting or "default"


def volatile(mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """The root file system of a container that is removed when it ends, or after a power loss:
    what it writes need never reach the disk. Else the kernel syncs the whole file system of the
    layers when an overlay goes, and each end waits for that: 1 to 90 ms."""
    return tuple(
        replace(mount, options=(*mount.options, _VOLATILE)) if mount.type == "overlay" else mount
        for mount in mounts
    )


def forget_volatile(mounts: tuple[Mount, ...]) -> None:
    """Before a second start: the kernel marks a layer that was mounted so and does not mount it
    again. It is whole, for a machine that crashed in between has no such container any more."""
    for mount in mounts:
        if _VOLATILE in mount.options:
            work = [o.removeprefix("workdir=") for o in mount.options if o.startswith("workdir=")]
            with suppress(FileNotFoundError):  # it holds a mark itself, "dirty"
                shutil.rmtree(f"{work[0]}/work/incompat/volatile")


def check_sources(binds: list[MountRequest]) -> None:
    """Bind sources must exist, or are made where ``docker -v`` would; blocking.

    Raises:
        InvalidArgument: there is no such path.
    """
    for bind in binds:
        if os.path.lexists(bind.source):
            continue
        if bind.type == "volume":
            raise InvalidArgument(
                f"error while mounting volume '{bind.target}': failed to mount local volume:"
                f" mount {bind.source}:{bind.target}: no such file or directory"
            )
        if not bind.create_source:
            raise InvalidArgument(
                'invalid mount config for type "bind": bind source path does not exist:'
                f" {bind.source}"
            )
        os.makedirs(bind.source, exist_ok=True)
