"""The plain datum in which snapshots, engine and runtime meet: one mount to make."""

from __future__ import annotations

from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Mount(Struct):
    """One mount, as a snapshotter emits it and the runtime consumes it.

    The fields mean what they mean in the runtime specification (config.md, "Mounts").

    Fields:
        type: file system type (``overlay``, ``erofs``, ``bind``, ``tmpfs``).
        source: absolute path on the host, device, or the type's name.
        target: path below the root file system that is being built; ``""`` is the root itself.
        options: options in ``mount(8)``'s words; for an overlay ``lowerdir=…`` with absolute
            paths (the runtime shortens them by changing into their common directory).
    """

    type: str
    source: str
    target: str = ""
    options: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a message."""
        return {
            "type": self.type,
            "source": self.source,
            "target": self.target,
            "options": list(self.options),
        }


def from_dict(data: dict[str, Any]) -> Mount:
    """Inverse of :meth:`Mount.to_dict`."""
    return Mount(
        type=str(data["type"]),
        source=str(data["source"]),
        target=str(data.get("target", "")),
        options=tuple(data.get("options", ())),
    )
