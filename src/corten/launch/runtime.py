"""The Runtime protocol: what a monitor needs of whoever makes containers.

One object is one container. Implementations: ``native`` (``corten.oci`` in this process)
and ``binary`` (the program of an OCI runtime). They speak of processes by handles that
can be polled and signalled; a process id is optional, because a virtual machine's
processes have none. Streams are descriptors that the monitor passes. All methods are
synchronous; errors are ``corten.errors``.
"""

from __future__ import annotations

from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from corten.launch.slumber import Bag
    from corten.spec.mount import Mount
else:
    Protocol = object


class Streams(Struct):
    """The standard streams of a process: the ends that it gets. With ``terminal`` the
    runtime makes a terminal and the process's :attr:`Process.console_fd` is its master."""

    terminal: bool = False
    stdin: int = -1
    stdout: int = -1
    stderr: int = -1
    console_size: tuple[int, int] = (0, 0)  # rows, columns


class CreateRequest(Struct):
    """Everything a container is made from; fields as in ``messages.Create``. ``config_fd`` is
    a sealed memfd, kept open as long as the container lives; ``lock_fd`` the run directory's
    lock, which everything holds that may still make something of the container."""

    id: str
    config_fd: int
    lock_fd: int = -1
    run_dir: str
    bundle: str
    rootfs: str
    rootfs_mounts: tuple[Mount, ...] = ()
    cgroup: str = ""
    seccomp: str = ""
    ns_fds: dict[str, int] = {}
    no_pivot: bool = False
    systemd_cgroup: bool = False


class Process(Protocol):
    """One process of a container, as a handle."""

    pid: int  # in the monitor's PID namespace; 0: it has none here
    console_fd: int  # the terminal's master, -1: none; whoever takes it sets -1

    def fileno(self) -> int:
        """A descriptor that is readable once the process has ended."""

    def reap(self) -> tuple[int, int] | None:
        """None while it runs, else (exit code as a shell counts it, signal that ended it or
        0); the same at every later call."""

    def reaped(self, code: int, status: int) -> None:
        """Somebody else has: what :meth:`reap` returns from now on, as ``si_code`` and
        ``si_status`` of waitid(2)."""

    def signal(self, number: int) -> None:
        """Send a signal. Raises NotFound when it has ended."""

    def close(self) -> None:
        """Close the handle's descriptors."""


class Runtime(Protocol):
    """See the module's text. The order is create, start, any of the others, delete."""

    def create(self, request: CreateRequest, streams: Streams) -> Process:
        """Make the container up to the waiting init. On an error nothing is left of it."""

    def start(self) -> None:
        """Execute the program. ProgramNotFound, ProgramNotExecutable: it can't be."""

    def exec(self, exec_id: str, process: dict[str, Any], streams: Streams) -> Process:
        """Run another process inside; errors as for :meth:`start`."""

    def kill(self, signal: int, *, all: bool = False) -> None:
        """Signal init, or every process. NotFound when init has ended."""

    def resize(self, process: Process, rows: int, columns: int) -> None:
        """Set the size of a process's terminal."""

    def pause(self) -> None:
        """Freeze every process; returns when they are."""

    def resume(self) -> None:
        """Thaw them."""

    def update(self, resources: dict[str, Any]) -> None:
        """Change limits to the specification's ``linux.resources``."""

    def stats(self) -> dict[str, Any]:
        """Counters, as ``corten.cgroups`` gives them."""

    def events(self) -> dict[str, int]:
        """Counters of what happened to the container: ``oom`` (processes killed)."""

    def events_fd(self) -> int:
        """A descriptor, the runtime's, that turns readable when :meth:`events` may have news;
        it is read empty by :meth:`events`. -1: ask at the end."""

    def init_ended(self) -> None:
        """Init was reaped: end what its death did not (a shared PID namespace's processes)."""

    def checkpoint(self, path: str) -> None:
        """Write the processes to ``path``. Unimplemented where the runtime can't."""

    def restore(self, path: str) -> None:
        """Inverse of :meth:`checkpoint`."""

    def delete(self) -> None:
        """Kill what is left, remove the cgroup, run the poststop hooks. Idempotent."""

    def state(self) -> dict[str, Any]:
        """The specification's state object."""

    def features(self) -> dict[str, Any]:
        """The specification's features object."""

    def rest(self, bag: Bag) -> dict[str, Any] | None:
        """Everything that lasts, for another object in another process to go on with (see
        ``slumber``); None: not now, or never."""

    def resume_from(self, state: dict[str, Any], bag: Bag, request: CreateRequest) -> Process:
        """Inverse of :meth:`rest`, in place of :meth:`create`."""

    @property
    def steps(self) -> list[tuple[str, int]]:
        """How long the steps of create and start took, in microseconds."""
