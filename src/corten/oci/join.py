"""An additional process: into the namespaces of a running container, then its program.

Two children. The first is in the host's PID namespace still, so nothing inside sees it:
it joins all namespaces at once and the cgroup, makes the container's root and working
directory its own, closes everything else and clones the second into the container's PID
namespace. The second is visible inside from its first moment, and by then holds nothing of
the host (CVE-2016-9962, CVE-2019-5736, CVE-2024-21626).
"""

from __future__ import annotations

import posix

from corten.errors import CortenError, FailedPrecondition, Internal
from corten.kernel import creds, namespaces
from corten.kernel.files import write_proc
from corten.kernel.paths import exists
from corten.kernel.process import CLONE_PARENT, clone3, wait_pidfd
from corten.oci import console
from corten.oci.failure import attempt, failed
from corten.oci.init import join_cgroups, settle
from corten.oci.paths import Root
from corten.oci.program import Program, close_others, open_label, set_personality

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from corten.oci.init import Wiring
    from corten.oci.planned import ProcessPlan


class Target:
    """The container to join, as its init shows it; owns its descriptors.

    Attributes:
        pidfd: of init.
        flags: ``CLONE_NEW*`` of the namespaces that are not ours already.
        root: the container's root directory.
    """

    __slots__ = ("flags", "pid", "pidfd", "root")

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.pidfd = posix.dup(pidfd)
        self.flags = 0
        self.root = -1
        try:
            self.flags = _foreign_namespaces(pid)
            flags = posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC
            self.root = posix.open(f"/proc/{pid}/root", flags)
        except OSError as error:
            self.close()
            raise _gone(pid, error) from None

    def close(self) -> None:
        for fd in (self.pidfd, self.root):
            if fd >= 0:
                posix.close(fd)


def _gone(pid: int, error: OSError) -> CortenError:
    if isinstance(error, (FileNotFoundError, ProcessLookupError)):
        return FailedPrecondition("the container's process has ended", step=f"join {pid}")
    return failed(f"look at process {pid}", error)


def _foreign_namespaces(pid: int) -> int:
    """Entering one's own user namespace is an error, so sameness is asked first."""
    flags = 0
    for flag, name in namespaces.KINDS.values():
        try:
            theirs = posix.stat(f"/proc/{pid}/ns/{name}")
            ours = posix.stat(f"/proc/self/ns/{name}")
        except FileNotFoundError:
            if not exists(f"/proc/self/ns/{name}"):
                continue  # a kind that this kernel does not have
            raise
        if (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino):
            flags |= flag
    return flags


def join(plan: ProcessPlan, wiring: Wiring, target: Target, *, cgroup_fd: int = -1) -> None:
    """Start the two children; the answers come over ``wiring.ours``. The caller reads
    ``child`` there.

    Raises:
        CortenError: the first child could not be made.
    """
    pid, pidfd = attempt("clone joiner", _clone, 0, cgroup_fd)
    if pid == 0:
        _be_joiner(plan, wiring, target)
    wiring.channel.close()
    try:
        wait_pidfd(pidfd)
    finally:
        posix.close(pidfd)


def _clone(flags: int, cgroup_fd: int) -> tuple[int, int]:
    return clone3(flags, cgroup_fd=cgroup_fd)


def _be_joiner(plan: ProcessPlan, wiring: Wiring, target: Target) -> NoReturn:
    channel = wiring.channel
    pid = -1
    try:
        settle(wiring)
        if plan.affinity_before is not None:
            attempt("set CPU affinity", posix.sched_setaffinity, 0, plan.affinity_before)
        label_fd = _last_look_at_the_host(plan)
        _enter(target)
        join_cgroups(wiring.join_files)
        keep = [channel.fileno(), label_fd]
        close_others([fd for fd in keep if fd >= 3 + wiring.preserve], 3 + wiring.preserve)
        pid, pidfd = attempt("clone process", _clone, CLONE_PARENT, -1)
        if pid:
            channel.send("child", pidfd, pid=pid)
            posix._exit(0)
        _be_process(plan, wiring, label_fd, in_user_namespace=_in_user_namespace(target))
    except CortenError as error:
        channel.send_error(error)
    except OSError as error:
        channel.send_error(failed("join container", error))
    except BaseException as error:  # whatever it is, the parent must hear of it
        channel.send_error(Internal(f"{type(error).__name__}: {error}", step="join"))
    finally:
        posix._exit(1)


def _in_user_namespace(target: Target) -> bool:
    return bool(target.flags & namespaces.CLONE_NEWUSER)


def _last_look_at_the_host(plan: ProcessPlan) -> int:
    """What needs the host's procfs; the descriptor of the label's file."""
    process = plan.process
    if process.oom_score_adj is not None:
        value = str(process.oom_score_adj).encode()
        attempt("set oom_score_adj", write_proc, "/proc/self/oom_score_adj", value)
    attempt("set personality", set_personality, plan.personality)
    return open_label(process.selinux_label, process.apparmor_profile)


def _enter(target: Target) -> None:
    """All namespaces at once, then the root: after a chroot without pivot_root it is not the
    top of the mount namespace."""
    if target.flags:
        attempt("join namespaces", namespaces.setns, target.pidfd, target.flags)
    posix.fchdir(target.root)
    posix.chroot(".")
    if target.flags & namespaces.CLONE_NEWUSER:
        creds.setresgid(0)
        creds.setresuid(0)
        creds.set_dumpable(False)


def _be_process(
    plan: ProcessPlan, wiring: Wiring, label_fd: int, *, in_user_namespace: bool
) -> None:
    """Visible in the container from here on. Errors are raised to the caller."""
    channel = wiring.channel
    attempt("start session", posix.setsid)
    for fd in range(3, 3 + wiring.preserve):
        try:
            posix.set_inheritable(fd, True)
        except OSError:
            continue  # the caller has no such descriptor
    if wiring.console:
        _make_console(wiring)
    program = Program(plan, label_fd)
    program.prepare(groups_allowed=not in_user_namespace or _may_set_groups())
    program.execute(channel)


def _may_set_groups() -> bool:
    try:
        fd = posix.open("/proc/self/setgroups", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return True
    try:
        return posix.read(fd, 16).strip() != b"deny"
    finally:
        posix.close(fd)


def _make_console(wiring: Wiring) -> None:
    root = Root(posix.open("/", posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC))
    try:
        master, slave = console.open_terminal(root, size=wiring.console_size)
        wiring.channel.send("console", master)
        posix.close(master)
        console.take_terminal(slave)
    except OSError as error:
        raise failed("open console", error) from None
    finally:
        posix.close(root.fd)
