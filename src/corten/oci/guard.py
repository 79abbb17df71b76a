"""The interpreter, put out of the container's reach, for a ``corten-oci`` that starts fresh.

Init is a fork of us, so its ``/proc/PID/exe`` is our interpreter, and an image whose entry
point is ``/proc/self/exe`` executes it: whoever then opens it for writing owns the host
(CVE-2019-5736). So a process that will fork into a container first moves into a private
mount namespace where ``/usr`` is a read-only overlay, and starts again from there. The
container's own mount namespace is cloned from the one left behind.

This is what the launcher does once and what a fresh program pays each time: 6 ms, nearly all
of it for the second start of the interpreter. It imports next to nothing before.
"""

from __future__ import annotations

import posix
import sys
from errno import ENOENT

from corten.kernel import mounts as k
from corten.kernel.namespaces import CLONE_NEWNS, namespace_type, unshare
from corten.kernel.paths import fsdecode, is_link, make_directories, parent

# Names the descriptor of the mount namespace that was left; set for the second start alone,
# and looked for by cli, too.
VARIABLE = "_CORTEN_OCI_HOST_MOUNTS"


def host_mounts() -> int:
    """The descriptor of the host's mount namespace in a second start, else -1."""
    value = posix.environ.pop(VARIABLE.encode(), b"")
    if not value.isdigit():
        return -1
    fd = int(value)
    try:
        if namespace_type(fd) != CLONE_NEWNS:
            return -1
        posix.set_inheritable(fd, False)
    except OSError:
        return -1
    return fd


def protect(argv: list[str], state_root: str) -> None:
    """Start again from the overlay. Returns only where the kernel does not allow it, with
    everything as it was but a private mount namespace.

    Arguments:
        argv: our arguments, the program's file first.
        state_root: where an empty directory may be made, as the overlay's second layer.
    """
    host = posix.open("/proc/self/ns/mnt", posix.O_RDONLY | posix.O_CLOEXEC)
    cwd = posix.open(".", posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    unshare(CLONE_NEWNS)
    cover(state_root)
    posix.set_inheritable(host, True)
    # what we stood in may be covered now: by the descriptor we stay where we were
    posix.fchdir(cwd)
    environment = {**posix.environ, VARIABLE.encode(): str(host).encode()}
    program = python()
    posix.execve(program, [program, "-IS", *argv], environment)


def python() -> str:
    """The interpreter to start again."""
    return sys.executable or fsdecode(posix.readlink("/proc/self/exe"))


def cover(state_root: str) -> None:
    """Lay the overlay over whatever the interpreter is made of, in our own mount namespace."""
    k.mount("", "/", "", k.MS_REC | k.MS_SLAVE)
    for place in places():
        _cover(place, f"{state_root}/.empty")


def _cover(place: str, empty: str) -> None:
    """A read-only overlay over a directory: no upper, so that nothing makes it writable."""
    options = f"lowerdir={place}:{empty}"
    try:
        k.mount("corten", place, "overlay", k.MS_NODEV, options)
    except OSError as error:
        if error.errno != ENOENT:
            raise
        make_directories(empty, 0o700)
        k.mount("corten", place, "overlay", k.MS_NODEV, options)


def places() -> list[str]:
    """The directories to cover: ``/usr``, and where else the interpreter or libraries lie."""
    if fsdecode(posix.readlink("/proc/self/exe")).startswith("/usr/") and is_link("/lib"):
        return ["/usr"]
    wanted = {"/usr"}
    for path in _mapped_files():
        wanted.add("/usr" if path.startswith("/usr/") else parent(path))
    return [p for p in sorted(wanted) if not any([p.startswith(f"{q}/") for q in wanted])]


def _mapped_files() -> list[str]:
    fd = posix.open("/proc/self/maps", posix.O_RDONLY | posix.O_CLOEXEC)
    text = b""
    try:
        while piece := posix.read(fd, 1 << 16):
            text += piece
    finally:
        posix.close(fd)
    paths = {line[line.index(b"/") :] for line in text.splitlines() if b"/" in line}
    return [fsdecode(path) for path in paths if not path.startswith((b"/dev/", b"/memfd:"))]
