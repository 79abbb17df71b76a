"""Cgroups: create, limit, freeze, kill and measure one, on v1, hybrid, v2, or through systemd.

``open_cgroup(path)`` gives an object of the protocol :class:`corten.cgroups.base.Cgroup`.
Only the implementation that this host needs is imported; a process that must not import
later (everything forked from a warm one) calls :func:`preload` before.
"""

from __future__ import annotations

from corten.cgroups.detect import hierarchies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cgroups.base import Cgroup

KINDS = ("v1", "hybrid", "v2", "systemd")


def open_cgroup(path: str, *, kind: str | None = None) -> Cgroup:
    """An object for the cgroup ``path``, which need not exist.

    Arguments:
        path: absolute, below the top of each hierarchy (or of our cgroup namespace); a relative
            path is below the parent of our own group on v2 (where that was delegated to us) and
            below the top on v1. With ``kind="systemd"`` it is ``slice:prefix:name``.
        kind: one of :data:`KINDS`; None asks the host, which never answers ``systemd``.
    Raises:
        FailedPrecondition: no cgroup file system is mounted at ``/sys/fs/cgroup``.
        InvalidArgument: the path has ``..`` or is no systemd path though it should be.
    """
    if kind == "systemd":
        from corten.cgroups.systemd import SystemdCgroup

        return SystemdCgroup(path)
    if hierarchies().kind == "v2":
        from corten.cgroups.v2 import V2Cgroup

        return V2Cgroup(path)
    from corten.cgroups.v1 import V1Cgroup

    return V1Cgroup(path)


def preload(*, systemd: bool = False) -> None:
    """Import what :func:`open_cgroup` will need on this host, and remember its hierarchies."""
    if systemd:
        import corten.cgroups.systemd
    if hierarchies().kind == "v2":
        import corten.cgroups.v2
    else:
        import corten.cgroups.stats_v1
        import corten.cgroups.v1  # noqa: F401  # the import is the purpose
