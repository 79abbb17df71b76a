"""The container's pseudoterminal: made in its own devpts, bound at ``/dev/console``."""

from __future__ import annotations

import posix
from _stat import S_ISCHR

from corten.errors import FailedPrecondition
from corten.kernel import pty
from corten.kernel.files import DEVPTS_SUPER_MAGIC, statfs_type
from corten.oci import trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.oci.paths import Root


def open_terminal(root: Root, *, size: tuple[int, int] | None) -> tuple[int, int]:
    """``(master, slave)`` of a new terminal of the container's devpts.

    The slave is asked from the master, never opened by its name. What was opened is proven
    to be a terminal multiplexer before anything is written to it (CVE-2025-52565).

    Raises:
        FailedPrecondition: the container has no devpts.
    """
    master = _open_multiplexer(root)
    try:
        pty.unlock(master)
        slave = pty.open_peer(master)
        if size is not None:
            pty.set_size(slave, *size)
    except BaseException:
        posix.close(master)
        raise
    return master, slave


def _open_multiplexer(root: Root) -> int:
    flags = posix.O_RDWR | posix.O_NOCTTY
    for path in ("/dev/pts/ptmx", "/dev/ptmx"):
        try:
            fd = root.open(path, flags)
        except OSError:
            continue
        info = posix.fstat(fd)
        if S_ISCHR(info.st_mode) and info.st_rdev == posix.makedev(5, 2):
            return fd
        posix.close(fd)
    raise FailedPrecondition(
        "the container has no pseudoterminals",
        step="open console",
        path="/dev/pts",
        hint="mount devpts at /dev/pts, or set process.terminal to false",
    )


def bind_console(root: Root, slave: int) -> None:
    """Show the terminal at ``/dev/console``, whatever lay there."""
    if statfs_type(slave) != DEVPTS_SUPER_MAGIC:
        raise FailedPrecondition("the console is no pseudoterminal", step="bind console")
    parent, name = root.parent("/dev/console")
    try:
        target = _console_file(parent, name)
        try:
            tree = trees.clone("", dirfd=slave, recursive=False)
            try:
                trees.attach(tree, target)
            finally:
                posix.close(tree)
        finally:
            posix.close(target)
    finally:
        posix.close(parent)


def _console_file(parent: int, name: str) -> int:
    """An existing or new ``console``; a link is replaced, never followed."""
    path_only = posix.O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC
    try:
        info = posix.stat(name, dir_fd=parent, follow_symlinks=False)
        if info.st_mode & 0o170000 == 0o120000:
            posix.unlink(name, dir_fd=parent)
            raise FileNotFoundError
    except FileNotFoundError:
        flags = posix.O_CREAT | posix.O_EXCL | posix.O_WRONLY | posix.O_NOFOLLOW | posix.O_CLOEXEC
        posix.close(posix.open(name, flags, 0o600, dir_fd=parent))
    return posix.open(name, path_only, dir_fd=parent)


def take_terminal(slave: int) -> None:
    """Make the terminal the controlling one of our session, and 0, 1, 2."""
    pty.make_controlling(slave)
    for fd in range(3):
        posix.dup2(slave, fd, inheritable=True)
    if slave > 2:
        posix.close(slave)
