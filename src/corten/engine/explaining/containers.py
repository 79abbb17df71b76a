"""Explaining a container."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from corten.engine import states
from corten.engine.explaining import attached, looking, running
from corten.engine.explaining.types import (
    Explanation,
    Goes,
    MountPoint,
    Place,
    Related,
    Removal,
    frees,
)
from corten.engine.parts import Parts
from corten.engine.types import Container, MountRequest, Volume
from corten.errors import CortenError, NotFound
from corten.snapshots.protocol import LayerInfo

LOOK = 60.0  # seconds: a tree may have millions of files
_JOINED = {"network": "net", "pid": "pid", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup"}


async def explain(parts: Parts, record: Container) -> Explanation:
    """See ``contract.Engine.explain``."""
    found = running.Running()
    if states.has_process(record):
        execs = {one.pid: "exec" for one in parts.view.execs_of(record.id) if one.running}
        found = await parts.paths.run(
            running.look, parts.settings.run_dir(record.id), execs, _shared(parts, record),
            "container", deadline=LOOK,
        )  # fmt: skip
    places = await _places(parts, record)
    attachments = parts.networks.attachments(record.id)
    return Explanation(
        kind="container",
        id=record.id,
        name=record.name,
        tenant=record.tenant,
        what=_what(record),
        places=places,
        processes=found.processes,
        mounts=_named(found.mounts, record.config.mounts) or _planned(record),
        cgroups=found.cgroups,
        namespaces=found.namespaces,
        links=tuple(attached.links(attachments)),
        rules=tuple(attached.rules(attachments, parts.settings.prefix)),
        related=_related(parts, record),
        removal=_removal(record, places),
    )


def _what(record: Container) -> str:
    state = record.state
    said = {
        "running": f"runs as process {state.pid}",
        "paused": f"is paused, process {state.pid}",
        "created": "was created and never started",
    }.get(state.status, f"{state.status}, exit code {state.exit_code}")
    reason = f" ({state.reason})" if state.reason and not states.has_process(record) else ""
    return f"a container of the image {record.image_ref}; {said}{reason}"


def _shared(parts: Parts, record: Container) -> Mapping[str, str]:
    """By kind of namespace, with what a container shares it."""
    found = {}
    for field, kind in _JOINED.items():
        mode = getattr(record.config.namespaces, field)
        if mode == "pod":
            found[kind] = f"pod {record.pod_id[:12]}"
        elif mode.startswith("container:"):
            other = parts.view.containers.get(mode.partition(":")[2])
            found[kind] = f"container {other.name if other else mode.partition(':')[2][:12]}"
    return found


# --- bytes --------------------------------------------------------------------------------


async def _places(parts: Parts, record: Container) -> tuple[Place, ...]:
    directory = parts.settings.container_dir(record.id)
    found = [await _written(parts, record)]
    log = record.log_path
    inside = bool(log) and log.startswith(f"{directory}/")
    log_size, whole = await parts.paths.run(_log_and_tree, log, directory, deadline=LOOK)
    if log:
        found.append(Place(what="log", path=log, size=log_size, goes="yes" if inside else "no"))
    rest = max(0, (whole or 0) - (log_size or 0 if inside else 0))
    found.append(
        Place(what="its files in /etc, and records", path=directory, size=rest, goes="yes")
    )
    if states.has_process(record):
        run_dir = parts.settings.run_dir(record.id)
        found.append(
            Place(what="of this run: the monitor's socket and state", path=run_dir, goes="yes")
        )
    found += [await mounted(parts, record, mount) for mount in record.config.mounts if mount.source]
    found += [_layer(layer) for layer in _stack(parts, record)]
    return tuple(found)


async def _written(parts: Parts, record: Container) -> Place:
    what = f"what it wrote ({parts.snapshots.name})"
    try:
        path = parts.snapshots.upper(record.id)
        size = (await parts.snapshots.usage(record.id)).size
    except CortenError:  # on its way out
        return Place(what=what, path="")
    return Place(what=what, path=path, size=size, goes="yes")


def _log_and_tree(log: str, directory: str) -> tuple[int | None, int | None]:
    """Bytes of a log with its rotated files, and of a directory; blocks."""
    size = None
    if log:
        parent, name = os.path.split(log)
        try:
            names = [one for one in os.listdir(parent) if one == name or one.startswith(f"{name}.")]
        except OSError:
            names = []
        known = [looking.tree_size(f"{parent}/{one}") for one in names]
        size = sum([one for one in known if one is not None]) if known else None
    return size, looking.tree_size(directory)


async def mounted(parts: Parts, record: Container, mount: MountRequest) -> Place:
    """Where the bytes of a bind or a volume lie."""
    if mount.type != "volume":
        return Place(what=f"bound at {mount.target}", path=mount.source)
    volume = parts.view.volumes.get((record.tenant, mount.source))
    if volume is None:
        return Place(what=f"volume {mount.source} at {mount.target}, which is gone", path="")
    return Place(
        what=f"volume {mount.source} at {mount.target}",
        path=volume.path,
        size=await volume_size(parts, volume),
        goes=_goes(parts, record, mount),
    )


async def volume_size(parts: Parts, volume: Volume) -> int | None:
    """Bytes of its files; None where they lie elsewhere, or could not be looked at."""
    if volume.options:
        return None
    try:
        return await parts.paths.run(looking.tree_size, volume.path, deadline=LOOK)
    except CortenError:
        return None


def _goes(parts: Parts, record: Container, mount: MountRequest) -> Goes:
    if not mount.anonymous:
        return "no"
    for other in parts.view.containers.values():
        same = other.tenant == record.tenant and other.id != record.id
        if same and any(
            m.type == "volume" and m.source == mount.source for m in other.config.mounts
        ):
            return "no"
    return "yes" if record.config.auto_remove else "with -v"


def _stack(parts: Parts, record: Container) -> list[LayerInfo]:
    try:
        parent = parts.snapshots.parent(record.id)
        return parts.snapshots.stack(parent) if parent else []
    except NotFound:
        return []


def _layer(layer: LayerInfo) -> Place:
    return Place(what="layer of its image, read only", path=layer.path, size=layer.size)


# --- mounts, neighbours, removal ----------------------------------------------------------------


def _named(
    mounts: tuple[MountPoint, ...], wanted: tuple[MountRequest, ...]
) -> tuple[MountPoint, ...]:
    """With what the user called them instead of devices."""
    sources = {m.target.rstrip("/"): _source(m) for m in wanted}
    return tuple(
        msgspec.structs.replace(one, source=sources.get(one.target, one.source)) for one in mounts
    )


def _source(mount: MountRequest) -> str:
    return f"volume {mount.source}" if mount.type == "volume" else mount.source or mount.type


def _planned(record: Container) -> tuple[MountPoint, ...]:
    """Of a container that does not run: what its user asked for."""
    return tuple(
        MountPoint(
            target=mount.target,
            source=_source(mount),
            type=mount.type,
            options="ro" if mount.read_only else "rw",
            kernel=mount.type == "tmpfs",
        )
        for mount in record.config.mounts
    )


def _related(parts: Parts, record: Container) -> tuple[Related, ...]:
    found = [Related(kind="image", id=record.image_id, name=record.image_ref, how="made of")]
    found += [
        Related(kind="network", id=e.network_id, name=e.network, how="connected to")
        for e in record.endpoints
    ]
    found += [
        Related(kind="volume", id=m.source, name=m.source, how="uses")
        for m in record.config.mounts
        if m.type == "volume"
    ]
    if record.pod_id:
        found.append(Related(kind="pod", id=record.pod_id, name="", how="part of"))
    for other in parts.view.containers.values():
        spaces = other.config.namespaces
        modes = (spaces.network, spaces.pid, spaces.ipc)
        if f"container:{record.id}" in modes:
            found.append(
                Related(
                    kind="container", id=other.id, name=other.name, how="shares namespaces of it"
                )
            )
    return tuple(found)


def _removal(record: Container, places: tuple[Place, ...]) -> Removal:
    lives = states.is_running(record)
    takes = ["its processes and cgroups"] if lives else []
    takes += ["what it wrote, its log, its address and published ports, its name"]
    anonymous = [p for p in places if p.goes == "with -v"]
    leaves = ["the image"]
    if any(p.what.startswith("volume ") and p.goes == "no" for p in places):
        leaves.append("volumes with a name")
    if anonymous:
        leaves.append(f"{len(anonymous)} anonymous volume(s), unless -v is given")
    if any(p.what.startswith("bound at ") for p in places):
        leaves.append("directories of the machine that are bound into it")
    return Removal(
        command=f"corten rm {'-f ' if lives else ''}{record.name or record.id[:12]}",
        obstacle=f"it is {record.state.status}: -f ends it first" if lives else "",
        takes=tuple(takes),
        leaves=tuple(leaves),
        frees=frees(places),
    )
