"""The last part of every process of a container, init or exec: from root inside the container
to the program. Runs with ``/`` already the container's root.
"""

from __future__ import annotations

import posix
from errno import EACCES, EPERM

from corten.errors import CortenError, InvalidArgument
from corten.kernel import creds, limits
from corten.kernel.paths import exists, fsencode
from corten.kernel.process import close_range, execve
from corten.kernel.seccomp import FLAG_NEW_LISTENER, load_filter
from corten.oci import identity, users
from corten.oci.failure import attempt, exec_failed, failed
from corten.oci.lookup import enter_directory, find_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.oci.channel import Channel
    from corten.oci.planned import ProcessPlan

_DEFAULT_UMASK = 0o022
_MOST_CPUS = 1024


class Program:
    """A process on its way to its program.

    Arguments:
        plan: what it becomes.
        label_fd: ``/proc/self/attr/…/exec`` opened for writing while the host's procfs was
            there, -1 without a label.
    """

    __slots__ = ("env", "identity", "label_fd", "path", "plan")

    def __init__(self, plan: ProcessPlan, label_fd: int = -1) -> None:
        self.plan = plan
        self.label_fd = label_fd
        self.path = ""
        self.identity = users.resolve(plan.process.user)
        self.env = environment(plan.process.env, self.identity.home)

    def prepare(self, *, groups_allowed: bool = True) -> None:
        """Become the final user with the final capabilities and find the program."""
        process = self.plan.process
        if self.plan.memory is not None:
            attempt("set memory policy", limits.set_mempolicy, *self.plan.memory)
        attempt("set CPU affinity", _set_affinity, self.plan.affinity)
        # a deadline scheduler binds to what is allowed then
        self._set_scheduler()
        umask = process.user.umask
        posix.umask(_DEFAULT_UMASK if umask is None else umask)
        identity.fix_stdio_owner(self.identity.uid)
        # as root first: a directory of root's is no obstacle, NFS may refuse root
        entered = self._try_directory()
        self._drop(groups_allowed)
        if not entered:
            enter_directory(process.cwd)
        if process.no_new_privileges:
            attempt("set no_new_privs", creds.set_no_new_privs)
        self.path = find_program(process.args[0], self.env)
        self._set_label()

    def _set_scheduler(self) -> None:
        process = self.plan.process
        try:
            identity.set_scheduler(process.scheduler, process.io_priority)
        except OSError as error:
            hint = ""
            if error.errno == EPERM:  # sched_setattr(2) on SCHED_DEADLINE
                hint = "process scheduler can't be used together with AllowedCPUs (cpu.cpus)"
            raise failed("set scheduler", error, hint=hint) from None

    def _try_directory(self) -> bool:
        try:
            enter_directory(self.plan.process.cwd)
        except CortenError as error:
            if error.errno in (EPERM, EACCES):
                return False
            raise
        return True

    def _drop(self, groups_allowed: bool) -> None:
        sets = self.plan.capabilities
        attempt("drop capabilities", identity.drop_bounding, sets.bounding)
        try:
            allowed = groups_allowed and not self.plan.keep_groups
            identity.become(self.identity, groups_allowed=allowed)
        except OSError as error:
            who = f"{self.identity.uid}:{self.identity.gid}"
            raise failed(
                f"become user {who}", error, hint="the id may have no mapping in the user namespace"
            ) from None
        keep = self.plan.seccomp is not None and not self.plan.process.no_new_privileges
        attempt("set capabilities", identity.set_sets, sets, keep)

    def _set_label(self) -> None:
        process = self.plan.process
        if self.label_fd < 0:
            return
        label = process.selinux_label or f"exec {process.apparmor_profile}"
        try:
            posix.write(self.label_fd, label.encode())
        except OSError as error:
            raise failed("set security label", error, path=label) from None
        finally:
            posix.close(self.label_fd)
            self.label_fd = -1

    def execute(self, channel: Channel) -> None:
        """Set the limits, load the filter and execute. Returns never; raises what went wrong.

        After the filter nothing is called but execve: the capability that loads a filter
        without no_new_privs is taken away by the exec itself.
        """
        process = self.plan.process
        arguments = [fsencode(item) for item in process.args]
        environment = [fsencode(item) for item in self.env]
        if process.reaper:
            # in memory already, as what some steps need
            from corten.oci.reaper import stay_behind

            stay_behind()
        attempt("set limits", identity.set_rlimits, process.rlimits)
        seccomp = self.plan.seccomp
        if seccomp is not None:
            listener = attempt("load seccomp filter", load_filter, seccomp.code, seccomp.flags)
            if seccomp.flags & FLAG_NEW_LISTENER:
                channel.send("listener", listener)
                posix.close(listener)
        try:
            execve(self.path, arguments, environment)
        except OSError as error:
            raise exec_failed(process.args[0], error) from None


def environment(items: tuple[str, ...], home: str) -> tuple[str, ...]:
    """Each variable once, with its last value; ``HOME`` is the user's unless it is set."""
    variables = {}
    for item in items:
        name, equals, _ = item.partition("=")
        variables[name if equals else item] = item
    if variables.get("HOME", "HOME=") == "HOME=":
        variables["HOME"] = f"HOME={home}"
    return tuple(variables.values())


def _set_affinity(cpus: frozenset[int] | None) -> None:
    """Those CPUs, or all that the cgroup allows: what our caller is bound to does not count."""
    posix.sched_setaffinity(0, range(_MOST_CPUS) if cpus is None else cpus)


def open_label(process_label: str, profile: str) -> int:
    """Open the file that takes the label of the next exec; while ``/proc`` is the host's.

    Raises:
        InvalidArgument: the kernel has no such security module.
    """
    names = ["/proc/self/attr/exec"]
    if not process_label:
        if not profile or profile == "unconfined":
            return -1
        names.insert(0, "/proc/self/attr/apparmor/exec")
        if not exists("/sys/kernel/security/apparmor"):
            raise InvalidArgument(
                "AppArmor is not enabled on this host", path="process.apparmorProfile"
            )
    for name in names:
        try:
            return posix.open(name, posix.O_WRONLY | posix.O_CLOEXEC)
        except FileNotFoundError:
            continue
    raise InvalidArgument("the kernel takes no label for an exec", path=names[-1])


def set_personality(domain: str) -> None:
    """personality(2), where the configuration names a domain."""
    if domain:
        limits.personality(limits.PERSONALITIES[domain])


def close_others(keep: list[int], first: int = 3) -> None:
    """Close every descriptor from ``first`` on that is not in ``keep``."""
    for fd in sorted(keep):
        if fd < first:
            continue
        if fd > first:
            close_range(first, fd - 1)
        first = fd + 1
    close_range(first)
