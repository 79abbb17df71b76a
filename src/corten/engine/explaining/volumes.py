"""Explaining a volume."""

from __future__ import annotations

from corten.engine import states
from corten.engine.explaining.containers import volume_size
from corten.engine.explaining.types import Explanation, MountPoint, Place, Related, Removal, frees
from corten.engine.parts import Parts
from corten.engine.types import Container, Volume


async def explain(parts: Parts, volume: Volume) -> Explanation:
    """See ``contract.Engine.explain``.

    Arguments:
        volume: with its users.
    """
    users = [parts.view.containers[one] for one in volume.used_by if one in parts.view.containers]
    places = (_place(volume, await volume_size(parts, volume)),)
    return Explanation(
        kind="volume",
        id=volume.name,
        name=volume.name,
        tenant=volume.tenant,
        what=_what(volume, users),
        places=places,
        mounts=tuple(mount for user in users for mount in _mounts(volume, user)),
        related=tuple(
            Related(kind="container", id=c.id, name=c.name, how=f"uses it, {c.state.status}")
            for c in users
        ),
        removal=Removal(
            command=f"corten volume rm {volume.name}",
            obstacle=f"used by {', '.join(c.name for c in users)}" if users else "",
            takes=("its files",) if not volume.options else ("its record",),
            leaves=() if not volume.options else ("the files, which lie elsewhere",),
            frees=frees(places),
        ),
    )


def _place(volume: Volume, size: int | None) -> Place:
    if not volume.options:
        return Place(what="its files", path=volume.path, size=size, goes="yes")
    shown = ",".join(f"{key}={value}" for key, value in sorted(volume.options.items()))
    return Place(what=f"mounted when it is used: {shown}", path=volume.options.get("device", ""))


def _what(volume: Volume, users: list[Container]) -> str:
    kind = "an anonymous volume" if volume.anonymous else "a volume"
    active = sum(states.has_process(c) for c in users)
    return f"{kind}; used by {len(users)} container(s), {active} of which run"


def _mounts(volume: Volume, user: Container) -> list[MountPoint]:
    return [
        MountPoint(
            target=f"{user.name}:{mount.target}",
            source=f"volume {volume.name}" + (f"/{mount.subpath}" if mount.subpath else ""),
            type="volume",
            options="ro" if mount.read_only else "rw",
        )
        for mount in user.config.mounts
        if mount.type == "volume" and mount.source == volume.name
    ]
