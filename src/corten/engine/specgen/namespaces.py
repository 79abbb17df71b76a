"""The namespaces of a container: its own, the host's, or somebody else's."""

from __future__ import annotations

from typing import Any

from corten.engine.types import Namespaces
from corten.errors import InvalidArgument, Unimplemented

# Names as in Namespaces; what the specification calls the network's differs from the field.
_KINDS = ("pid", "ipc", "uts", "network", "cgroup")


def own_network(namespaces: Namespaces) -> bool:
    """Whether the container gets a network namespace of its own."""
    mode = namespaces.network
    return mode not in ("", "host", "pod") and not mode.startswith("container:")


def joined(namespaces: Namespaces) -> dict[str, str]:
    """Types that are shared with ``pod`` or with ``container:ID``, by type."""
    found = {}
    for kind in _KINDS:
        mode = getattr(namespaces, kind)
        if mode == "pod" or mode.startswith("container:"):
            found[kind] = mode
    return found


def linux_namespaces(namespaces: Namespaces) -> list[dict[str, Any]]:
    """``linux.namespaces``; those that are joined come as descriptors beside it.

    Raises:
        InvalidArgument: an unknown mode or network.
        Unimplemented: a user namespace.
    """
    if namespaces.user not in ("", "host"):
        raise Unimplemented("user namespaces are not offered yet")
    found = [{"type": "mount"}]
    for kind in _KINDS:
        mode = getattr(namespaces, kind)
        if mode == "host":
            continue
        if not _known(kind, mode):
            raise InvalidArgument(f"invalid {kind} mode: {mode}")
        found.append({"type": kind})
    return found


def _known(kind: str, mode: str) -> bool:
    if mode == "pod" or (mode.startswith("container:") and len(mode) > len("container:")):
        return True
    if kind == "network":
        # Whether there is such a network is seen at the start, as with dockerd.
        return bool(mode) and mode != "container:"
    return mode in ("private", "") or (kind == "ipc" and mode in ("shareable", "none"))
