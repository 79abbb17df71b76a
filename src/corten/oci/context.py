"""What the steps of a plan share while init executes them, and the protocol of a step."""

from __future__ import annotations

import posix
import time
from errno import ENOENT

from corten.errors import FailedPrecondition
from corten.kernel.files import PROC_SUPER_MAGIC, statfs_type
from corten.oci.failure import failed
from corten.oci.paths import Root, clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Step(Protocol):
        """One thing to do; immutable, made and checked before the first system call.

        ``execute`` raises OSError (the runner adds the step) or CortenError.
        """

        @property
        def name(self) -> str:
            """For errors: ``mount /proc``."""

        def execute(self, context: Context) -> None:
            """Do it, in init, before pivot_root: the host's tree is still visible."""

        def describe(self) -> str:
            """One line for people, with everything that matters."""


class Context:
    """State of one init until the program is executed.

    Attributes:
        rootfs: path of the root file system as init sees it now (``"."`` after a change of
            directory into it).
        root: the root file system, once it is mounted.
        in_user_namespace: whether we lack the host's privileges.
        captured: trees of bind mounts taken beforehand, by the index of their step.
        times: (phase, microseconds) so far.
    """

    __slots__ = ("_directory", "_last", "_root", "captured", "in_user_namespace", "rootfs", "times")

    def __init__(self, rootfs: str, *, in_user_namespace: bool = False) -> None:
        self.rootfs = rootfs
        self.in_user_namespace = in_user_namespace
        self.captured: dict[str, int] = {}
        self.times: list[tuple[str, int]] = []
        self._root: Root | None = None
        self._directory = ("", -1)
        self._last = time.monotonic_ns()

    @property
    def root(self) -> Root:
        """The root file system by its descriptor."""
        if self._root is None:
            raise FailedPrecondition("the root file system is not mounted yet")
        return self._root

    def open_root(self) -> None:
        """(Re)open the root after something was mounted on it."""
        flags = posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC
        fd = posix.open(self.rootfs, flags)
        if self._root is not None:
            posix.close(self._root.fd)
        self._root = Root(fd)

    def parent(self, path: str) -> tuple[int, str]:
        """As :meth:`corten.oci.paths.Root.parent`, but the descriptor stays ours: a row of paths
        in one directory opens it once. Nothing is mounted on it meanwhile."""
        head, _, name = clean(path).rpartition("/")
        if self._directory[0] != head or self._directory[1] < 0:
            self.leave_directory()
            self._directory = head, self.root.make_directory(head or "/")
        return self._directory[1], name

    def leave_directory(self) -> None:
        """Close what :meth:`parent` keeps."""
        if self._directory[1] >= 0:
            posix.close(self._directory[1])
            self._directory = ("", -1)

    def lap(self, phase: str) -> None:
        """End a phase: its time is what passed since the last one."""
        now = time.monotonic_ns()
        self.times.append((phase, (now - self._last) // 1000))
        self._last = now


def run_steps(context: Context, steps: tuple[Step, ...]) -> None:
    """Execute in order; an OSError becomes the error of its step."""
    for step in steps:
        try:
            step.execute(context)
        except OSError as error:
            raise failed(step.name, error) from None
    context.leave_directory()


def check_procfs() -> None:
    """Descriptors are named by ``/proc/self/fd`` and sysctls written below ``/proc/sys``: the
    ``/proc`` of the runtime must be what it says (CVE-2019-16884 and its family).

    Raises:
        FailedPrecondition: it is not.
    """
    try:
        genuine = statfs_type("/proc/self/fd") == PROC_SUPER_MAGIC
    except OSError as error:
        if error.errno != ENOENT:
            raise
        genuine = False
    if not genuine:
        raise FailedPrecondition(
            "/proc of the runtime is not procfs", path="/proc", hint="mount -t proc proc /proc"
        )
