"""Which mounts a container has in the end: the user's, other containers', the image's. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from corten.engine.types import Container, ContainerConfig, MountRequest
from corten.errors import InvalidArgument

_replace = msgspec.structs.replace


def clean(target: str) -> str:
    """A mount's place without doubled slashes and a slash at its end.

    Raises:
        InvalidArgument: it is relative, the root, or leads upwards.
    """
    if not target.startswith("/"):
        raise InvalidArgument(f"invalid mount path: '{target}' mount path must be absolute")
    parts = [part for part in target.split("/") if part not in ("", ".")]
    if not parts:
        raise InvalidArgument("invalid specification: destination can't be '/'")
    if ".." in parts:
        raise InvalidArgument(f"invalid mount path: '{target}'")
    return "/" + "/".join(parts)


def source_of(text: str) -> tuple[str, bool]:
    """One of ``volumes_from``: the container, and whether its mounts become read-only.

    Raises:
        InvalidArgument: another mode than ``ro``, ``rw``, ``z`` or ``Z``.
    """
    ref, colon, mode = text.partition(":")
    words = mode.split(",") if colon else []
    if not ref:
        raise InvalidArgument("invalid volumes-from specification: empty")
    for word in words:
        if word not in ("ro", "rw", "z", "Z"):
            raise InvalidArgument(f'invalid mode "{mode}" for volumes-from')
    return ref, "ro" in words


def mounts(
    config: ContainerConfig, others: Sequence[tuple[Container, bool]]
) -> tuple[MountRequest, ...]:
    """All mounts, in an order that doesn't matter. Volumes without a name have none yet.

    Arguments:
        config: merged with its image's.
        others: what ``volumes_from`` names, and whether read-only.
    """
    found: dict[str, MountRequest] = {}
    for other, read_only in others:
        for mount in other.config.mounts:
            if mount.type != "tmpfs":
                found[mount.target] = _replace(
                    mount, read_only=mount.read_only or read_only, no_copy=True
                )
    own: set[str] = set()
    for mount in config.mounts:
        target = clean(mount.target)
        if target in own:
            raise InvalidArgument(f"Duplicate mount point: {target}")
        own.add(target)
        anonymous = mount.type == "volume" and not mount.source
        found[target] = _replace(mount, target=target, anonymous=anonymous)
    for place in config.volumes:
        target = clean(place)
        if target not in found:
            found[target] = MountRequest(type="volume", target=target, anonymous=True)
    return tuple(found.values())
