"""Processes: clone3, pidfds, waiting, executing, and the descriptors they hand on."""

from __future__ import annotations

import posix
from _struct import pack, unpack_from

from corten.kernel._call import buffer, call, cstr, pointer, strings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.kernel._call import Path

SIGCHLD = 17

# <linux/sched.h>; namespace flags stand in `namespaces`.
CLONE_PIDFD = 0x00001000
CLONE_PARENT = 0x00008000
CLONE_CLEAR_SIGHAND = 0x1_0000_0000  # signal handlers back to default, since Linux 5.5
CLONE_INTO_CGROUP = 0x2_0000_0000  # since Linux 5.7

CLOSE_RANGE_UNSHARE = 2
CLOSE_RANGE_CLOEXEC = 4  # since Linux 5.11
_LAST_FD = 0xFFFFFFFF

F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE = 1, 2, 4, 8
F_SEAL_ALL = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE

AT_EMPTY_PATH = 0x1000


def clone3(
    flags: int = 0, *, cgroup_fd: int = -1, exit_signal: int = SIGCHLD, pidfd: bool = True
) -> tuple[int, int]:
    """Fork with ``flags``; in the child everything stands as after ``os.fork``.

    The raw call knows nothing of CPython, so its fork hooks run around it as ``os.fork`` runs
    them (locks made anew, pending signals dropped, ``os.register_at_fork``). What glibc's
    ``fork`` would do besides, resetting malloc's locks and the cached thread id, matters only
    where another thread existed: call this in processes that never had one.

    Arguments:
        flags: ``CLONE_NEW*``, ``CLONE_PARENT``, ``CLONE_CLEAR_SIGHAND``.
        cgroup_fd: directory of the cgroup v2 to be born in, or -1.
        exit_signal: sent to the parent when the child ends; 0 with ``CLONE_PARENT``.
        pidfd: ask for a pidfd (close-on-exec).
    Returns:
        ``(pid, pidfd)`` in the parent, pidfd -1 if not asked; ``(0, -1)`` in the child.
    """
    # late: a fresh init and its parent never fork
    from corten.kernel import _fork

    out = buffer(8, b"\xff" * 8)
    if pidfd:
        flags |= CLONE_PIDFD
    if cgroup_fd >= 0:
        flags |= CLONE_INTO_CGROUP
    if flags & CLONE_PARENT:
        exit_signal = 0  # the kernel refuses one: the parent's own is inherited
    # struct clone_args: flags pidfd child_tid parent_tid exit_signal stack stack_size tls
    # set_tid set_tid_size cgroup
    args = pack("11Q", flags, pointer(out), 0, 0, exit_signal, 0, 0, 0, 0, 0, max(cgroup_fd, 0))
    _fork.before_fork()
    try:
        pid = _fork.call_holding_gil("clone3", args, len(args))
    except OSError:
        _fork.after_fork_parent()
        raise
    if pid == 0:
        _fork.after_fork_child()
        return 0, -1
    _fork.after_fork_parent()
    return pid, unpack_from("i", out)[0] if pidfd else -1


def pidfd_open(pid: int) -> int:
    """A close-on-exec descriptor of a process; ESRCH if there is none."""
    return call("pidfd_open", f"/proc/{pid}", pid, 0)


def pidfd_send_signal(pidfd: int, signal: int) -> None:
    """Signal a process by its pidfd; 0 only asks whether it is there (ESRCH if not)."""
    call("pidfd_send_signal", None, pidfd, signal, None, 0)


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """A duplicate of another process's descriptor (needs ptrace rights)."""
    return call("pidfd_getfd", None, pidfd, fd, 0)


def wait_pidfd(pidfd: int, *, block: bool = True, reap: bool = True) -> int | None:
    """Wait for a child by its pidfd.

    Returns:
        The exit code as a shell counts it (128 + signal where one killed it), or None if the
        child still runs and ``block`` is false.
    Raises:
        ChildProcessError: not a child of ours, or already reaped.
    """
    options = posix.WEXITED | (0 if block else posix.WNOHANG) | (0 if reap else posix.WNOWAIT)
    result = posix.waitid(posix.P_PIDFD, pidfd, options)
    if result is None or result.si_pid == 0:
        return None
    if result.si_code == posix.CLD_EXITED:
        return result.si_status
    return 128 + result.si_status


def pid_of(pidfd: int) -> int:
    """The number of the process behind a pidfd, as our PID namespace sees it; -1 if reaped."""
    fd = posix.open(f"/proc/self/fdinfo/{pidfd}", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        text = posix.read(fd, 4096)
    finally:
        posix.close(fd)
    for line in text.splitlines():
        if line.startswith(b"Pid:"):
            return int(line[4:])
    return -1


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot: with the pid it names it for good.

    Raises:
        FileNotFoundError, ProcessLookupError: there is no such process.
    """
    fd = posix.open(f"/proc/{pid}/stat", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        text = posix.read(fd, 4096)
    finally:
        posix.close(fd)
    # proc(5): field 22, counted from behind the command's name, which may hold anything
    return int(text[text.rindex(b")") + 2 :].split()[19])


def default_signal(number: int) -> None:
    """Default action for a signal, also for 32 and 33, which the C library keeps for itself and
    whose ``posix_spawn`` leaves the first of them ignored in the child."""
    # struct kernel_sigaction: handler, flags, restorer, mask; SIG_DFL is zero
    call("rt_sigaction", None, number, bytes(32), None, 8)


def execveat(dirfd: int, path: Path, argv: list[bytes], env: list[bytes], flags: int = 0) -> None:
    """Replace the program by ``path`` below ``dirfd`` (``""`` and AT_EMPTY_PATH: by it).

    Arguments:
        argv: arguments, each without NUL.
        env: ``NAME=value`` each.
        flags: ``AT_EMPTY_PATH``, ``AT_SYMLINK_NOFOLLOW``.
    """
    arguments = strings([cstr(item) for item in argv])
    environment = strings([cstr(item) for item in env])
    call("execveat", path, dirfd, cstr(path), arguments, environment, flags)


def execve(path: Path, argv: list[bytes], env: list[bytes]) -> None:
    """Replace the program; ``env`` holds ``NAME=value`` items, kept in order and repeated."""
    execveat(-100, path, argv, env)  # AT_FDCWD; /proc/PID/comm is the file's name as with execve


def close_range(first: int, last: int = _LAST_FD, flags: int = 0) -> None:
    """Close (or mark close-on-exec) all descriptors from ``first`` to ``last``."""
    call("close_range", None, first, last, flags)


def memfd(name: str, content: bytes, *, seal: bool = True) -> int:
    """A close-on-exec memory file holding ``content``, at offset 0, sealed against change."""
    fd = posix.memfd_create(name, posix.MFD_CLOEXEC | posix.MFD_ALLOW_SEALING)
    try:
        view = memoryview(content)
        while view:
            view = view[posix.write(fd, view) :]
        posix.lseek(fd, 0, 0)
        if seal:
            import fcntl

            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, F_SEAL_ALL)
    except BaseException:
        posix.close(fd)
        raise
    return fd


def read_memfd(fd: int, *, limit: int = 64 << 20) -> bytes:
    """The whole content of a memory file that somebody passed.

    Raises:
        OSError: EPERM, it is not sealed against shrinking and writing (its sender could change
            it under us); EFBIG, longer than ``limit`` bytes.
    """
    import fcntl

    seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    if seals & (F_SEAL_WRITE | F_SEAL_SHRINK) != F_SEAL_WRITE | F_SEAL_SHRINK:
        raise OSError(1, "memfd is not sealed")
    size = posix.fstat(fd).st_size
    if size > limit:
        raise OSError(27, f"memfd holds {size} bytes, the limit is {limit}")
    content = bytearray()
    while len(content) < size:
        piece = posix.pread(fd, size - len(content), len(content))
        if not piece:
            break
        content += piece
    return bytes(content)
