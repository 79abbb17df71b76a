"""The protocol that every kind of cgroup fulfils. Imported by the type checker alone.

Life of a container's cgroup, the same for every kind::

    cgroup = open_cgroup(path)
    cgroup.create()                       # and on failure nothing is left
    cgroup.apply(config["linux"]["resources"])
    child:  for fd in cgroup.join_files(): os.write(fd, b"0")      # v1, made before the fork
       or:  clone3(..., cgroup_fd=cgroup.dir_fd())                 # v2
    cgroup.joined()                       # the child is inside
    ...
    cgroup.kill(9); cgroup.delete()
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

Kind = Literal["v1", "hybrid", "v2", "systemd"]


class Cgroup(Protocol):
    """One cgroup, in all hierarchies at once.

    Errors are of :mod:`corten.errors`; each names the file and the value.
    """

    @property
    def kind(self) -> Kind:
        """Which implementation this is; ``open_cgroup(path, kind=kind)`` opens it again."""

    @property
    def path(self) -> str:
        """The path it was opened with, made absolute (``slice:prefix:name`` for systemd)."""

    def create(self, *, exclusive: bool = False) -> None:
        """Make it, with missing parents; a second call changes nothing.

        On failure every directory made by this call is gone again.

        Arguments:
            exclusive: refuse a group that holds processes already (FailedPrecondition).
        """

    def apply(self, resources: dict[str, Any]) -> None:
        """Set the limits of a runtime-spec ``linux.resources`` (config-linux.md); idempotent.

        What is absent stays as it is. A limit that this host can't set is an error that names
        it (FailedPrecondition), never skipped. Limits set before the failing one stay set.
        """

    def join_files(self) -> list[int]:
        """Open descriptors, close-on-exec and the caller's, to which a process writes ``b"0"``.

        Empty where :meth:`dir_fd` is the way. Only for a process with a single thread.
        """

    def dir_fd(self, *, beside: int = 0) -> int:
        """A descriptor (the caller's) for ``clone3(cgroup_fd=…)``; -1 on v1.

        Arguments:
            beside: a process of the container. Where the container made inner groups of its own
                (systemd inside), v2 allows no process in the outer one; the descriptor is then
                that of the group this process is in.
        """

    def joined(self) -> None:
        """Tell that the first process is inside (a systemd scope needs a placeholder before)."""

    def add_process(self, pid: int) -> None:
        """Move a process with all of its threads into the group."""

    def pids(self) -> list[int]:
        """Processes in the group and below; empty if there is no group."""

    def exists(self) -> bool:
        """Whether the group is there (in any hierarchy)."""

    def freeze(self, *, timeout: float = 10.0) -> None:
        """Stop everything inside; returns when all is stopped. ``timeout`` in seconds."""

    def thaw(self, *, timeout: float = 10.0) -> None:
        """Let everything go on."""

    def frozen(self) -> bool:
        """Whether :meth:`freeze` is in effect."""

    def kill(self, signal: int = 9) -> None:
        """Signal every process inside and below, also those that fork meanwhile.

        Never fails because processes are gone. SIGKILL reaches a frozen group too.
        """

    def stats(self) -> dict[str, Any]:
        """Counters; absent controllers are absent keys.

        ``cpu``: ``usage_ns user_ns system_ns per_cpu_ns[] periods throttled_periods
        throttled_ns``; ``memory``: ``usage max_usage limit swap_usage swap_limit failcnt
        inactive_file oom_kills stat{}`` in bytes, no limit is -1; ``pids``: ``current limit``;
        ``io``: list of ``{major minor op value}`` under ``bytes`` and ``operations``;
        ``hugetlb``: per size ``usage max_usage failcnt``.
        """

    def oom_kill_count(self) -> int:
        """Processes of the group that the OOM killer took since it exists; 0 if unknown."""

    def oom_fd(self) -> int:
        """A descriptor (the caller's) that turns readable at an OOM kill, -1 if impossible.

        Read it empty, then ask :meth:`oom_kill_count`: it may turn readable for less.
        """

    def delete(self, *, timeout: float = 5.0) -> None:
        """Remove the group and all groups below it; nothing to do if it is gone.

        The kernel refuses for a moment after the last process ended, so this tries again.

        Raises:
            FailedPrecondition: still in use after ``timeout`` seconds; the text has the path.
        """
