"""A cgroup by its path as the engine writes it: a plain one, or systemd's ``slice:prefix:name``."""

from __future__ import annotations

from corten.cgroups import open_cgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cgroups.base import Cgroup


def by_systemd(path: str) -> bool:
    """Whether systemd is to make the group."""
    return not path.startswith("/") and path.count(":") == 2


def open_group(path: str) -> Cgroup:
    """The group of a path of either form."""
    return open_cgroup(path, kind="systemd" if by_systemd(path) else None)
