"""The first moments of a fresh ``create`` or ``run``: init's interpreter is started at once.

It needs as long to start as everything else takes (7 ms), so it starts while we import, plan
and make the cgroup. It is born into a new PID namespace and, as :mod:`corten.oci.guard` wants
it, from a read-only overlay over ``/usr`` in a mount namespace of its own; ``second`` then goes
back to the host's and waits for the plan (``ahead``). We ourselves stay what we are: nothing
inside that PID namespace can see us.

Whether all this is wanted is a guess from a glance at arguments and configuration. A wrong
one costs time alone: what was started ends when its socket does.
"""

from __future__ import annotations

import posix
import sys

from corten.kernel import paths
from corten.kernel._call import buffer, call, pointer
from corten.kernel.namespaces import CLONE_NEWNS, CLONE_NEWPID, setns, unshare
from corten.oci import guard, onefile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.oci.onefile import Place

DEFAULT_ROOT = "/run/corten-oci"
_SWITCHES = ("debug", "detach", "d", "keep", "no-subreaper", "no-pivot", "no-new-keyring")
_VALUES = ("root", "log", "log-format", "bundle", "b", "pid-file", "console-socket")
# v2's clone3 into the cgroup needs the cgroup first
_UNIFIED = "/sys/fs/cgroup/cgroup.controllers"
_PAIR = (1, 0o2000005, 0)  # AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC


class Early:
    """An init that was started before anything was known.

    Attributes:
        bundle: the directory whose configuration was looked at, as it was given.
        config: the configuration's bytes.
        socket: descriptor of our end.
        pid, pidfd: init's.
    """

    __slots__ = ("bundle", "config", "pid", "pidfd", "socket")

    def __init__(self, bundle: str, config: bytes, socket: int, pid: int) -> None:
        self.bundle = bundle
        self.config = config
        self.socket = socket
        self.pid = pid
        self.pidfd = call("pidfd_open", None, pid, 0)

    def discard(self) -> None:
        """End it: it does not fit, or there is nothing for it to do."""
        global _early
        _early = None
        posix.close(self.socket)
        posix.kill(self.pid, 9)  # a child that nobody has reaped: the number is its own
        posix.waitpid(self.pid, 0)
        posix.close(self.pidfd)


_early: Early | None = None


def early() -> Early | None:
    """The init that was started, if one was and it has not been discarded."""
    return _early


def take() -> Early | None:
    """As :func:`early`; from now on it is the caller's."""
    global _early
    taken, _early = _early, None
    return taken


def makes(argv: list[str]) -> bool:
    """Whether this looks like the making of a container."""
    return _glance(argv) is not None


def _glance(argv: list[str]) -> tuple[str, str] | None:
    """State directory and bundle of a ``create`` or ``run`` whose options are usual ones."""
    words: list[str] = []
    root, bundle = DEFAULT_ROOT, "."
    rest = iter(argv[1:])
    for item in rest:
        if not item.startswith("-"):
            words.append(item)
            continue
        name, equals, value = item.lstrip("-").partition("=")
        if name in _SWITCHES and not equals:
            continue
        if name not in _VALUES:
            return None
        if not equals:
            value = next(rest, "")
        if name == "root":
            root = value
        elif name in ("b", "bundle"):
            bundle = value
    return (root, bundle) if len(words) == 2 and words[0] in ("create", "run") else None


def begin(code: int, place: Place) -> Early | None:
    """Start init's interpreter where that seems right.

    Arguments:
        code: descriptor of the file with all code.
        place: where init's part of it lies.
    """
    global _early
    found = _glance(sys.argv)
    if found is None or guard.VARIABLE.encode() in posix.environ:
        return None
    if b"LISTEN_FDS" in posix.environ or paths.exists(_UNIFIED):
        return None
    root, bundle = found
    config = _look(bundle)
    if config is None:
        return None
    try:
        sock, pid = _start(root, code, place)
    except OSError:
        return None  # the usual way says what is wrong
    _early = Early(bundle, config, sock, pid)
    return _early


def _look(bundle: str) -> bytes | None:
    """The configuration, if it looks like one of a container with a PID namespace of its own
    and no user namespace."""
    try:
        fd = posix.open(f"{bundle}/config.json", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return None
    try:
        size = posix.fstat(fd).st_size
        raw = posix.read(fd, size)
    except OSError:
        return None
    finally:
        posix.close(fd)
    if len(raw) != size or b'"pid"' not in raw:
        return None
    return None if b'"uidMappings"' in raw or b'"timeOffsets"' in raw else raw


def _start(root: str, code: int, place: Place) -> tuple[int, int]:
    """Our end of the socket, and the process id.

    No fork: its copy of our memory costs more than the way there and back.
    """
    ours, theirs = _socketpair()
    host = posix.open("/proc/self/ns/mnt", posix.O_RDONLY | posix.O_CLOEXEC)
    pids = posix.open("/proc/self/ns/pid_for_children", posix.O_RDONLY | posix.O_CLOEXEC)
    root_fd, cwd = (posix.open(p, posix.O_PATH | posix.O_CLOEXEC) for p in ("/", "."))
    kept = (code, theirs, host)
    places = (host, pids, root_fd, cwd)
    pid = 0
    try:
        # in a user namespace there may be no way back: then nothing is begun
        _return(*places)
        unshare(CLONE_NEWNS | CLONE_NEWPID)
        try:
            guard.cover(root)
            for fd in kept:
                posix.set_inheritable(fd, True)
            pid = _spawn(code, place, theirs, host)
        finally:
            _must_return(places)
            posix.set_inheritable(code, False)
    finally:
        if not pid:
            posix.close(ours)
        for fd in (theirs, *places):
            posix.close(fd)
    return ours, pid


def _return(host: int, pids: int, root: int, cwd: int) -> None:
    """Back to where we were."""
    setns(pids, CLONE_NEWPID)
    setns(host, CLONE_NEWNS)
    # entering a mount namespace leads to its top
    posix.fchdir(root)
    posix.chroot(".")
    posix.fchdir(cwd)


def _must_return(places: tuple[int, int, int, int]) -> None:
    try:
        _return(*places)
    except OSError as error:
        # whatever followed would go to the wrong place
        raise RuntimeError(f"no way back from the new namespaces: {error}") from error


def _spawn(code: int, place: Place, sock: int, host: int) -> int:
    program = guard.python()
    package = __file__.rpartition("/oci/")[0]
    numbers = [str(number) for number in (code, *place, sock, host)]
    text = onefile.LOADER + "from corten.oci.second import main;main()"
    # as isolated as by -I: this is the whole environment
    argv = [program, "-sSPX", "utf8", "-c", text, package, *numbers]
    environment = {"PYTHONPATH": onefile.directory_in(package)}
    return posix.posix_spawn(program, argv, environment)


def _socketpair() -> tuple[int, int]:
    """By the bare call: ``_socket`` would have to be imported first."""
    out = buffer(8)
    call("socketpair", None, *_PAIR, pointer(out))
    raw = out.raw
    return int.from_bytes(raw[:4], sys.byteorder), int.from_bytes(raw[4:], sys.byteorder)
