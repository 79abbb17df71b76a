"""The interpreter that containers are forked from, put out of their reach.

The launcher runs in a mount namespace of its own, where ``/usr`` (and wherever else its
interpreter and libraries lie) is a read-only overlay of two lowers. ``/proc/PID/exe`` and
everything in ``map_files`` of a process that was forked from it then answer EROFS, with
all capabilities. The files must be mapped from there, so the launcher executes itself
again once the overlays are mounted.
"""

from __future__ import annotations

import os
import sys

from corten.kernel import mounts as k
from corten.kernel.files import OVERLAYFS_SUPER_MAGIC, statfs_type
from corten.kernel.namespaces import CLONE_NEWNS, unshare
from corten.kernel.process import execve

# Without docstrings, which lie between what monitors write to: each owns less by 0.1 MB.
FLAGS = "-OOIS"
HOST_NS = "host="  # argument of the second start: descriptor of the host's mount namespace


def enter(state_dir: str) -> int:
    """Move into a private mount namespace with the overlays over everything that this process
    has mapped. Returns a descriptor of the namespace left (inheritable).

    Raises:
        OSError: the kernel does not allow it; the process is where it was, or in a mount
            namespace that is like the host's.
    """
    host = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    os.set_inheritable(host, True)
    unshare(CLONE_NEWNS)
    k.mount("", "/", "", k.MS_REC | k.MS_SLAVE)
    # An overlay without an upper needs two lowers; the second is empty.
    empty = f"{state_dir}/empty"
    os.makedirs(empty, mode=0o555, exist_ok=True)
    for place in places(mapped_files()):
        k.mount("corten", place, "overlay", k.MS_NODEV, f"lowerdir={place}:{empty}")
    return host


def execute_again(host: int) -> None:
    """Start this program anew from the overlay. Does not return.

    ``argv[0]`` of the interpreter is resolved: the file is opened on the overlay.
    """
    python = os.path.realpath(sys.executable)
    argv = [sys.executable, FLAGS, *sys.argv, f"{HOST_NS}{host}"]
    execve(python, [os.fsencode(a) for a in argv], [b"PATH=/usr/sbin:/usr/bin:/sbin:/bin"])


def protected() -> bool:
    """Whether every file that this process has mapped lies on a read-only overlay."""
    return all([_on_overlay(path) for path in mapped_files()])


def _on_overlay(path: str) -> bool:
    """A path that is not there (any more) is not what is mapped: then nothing is promised."""
    try:
        return statfs_type(path) == OVERLAYFS_SUPER_MAGIC and bool(
            os.statvfs(path).f_flag & os.ST_RDONLY
        )
    except OSError:
        return False


def mapped_files() -> list[str]:
    """Files behind the memory of this process: the interpreter and its libraries."""
    fd = os.open("/proc/self/maps", os.O_RDONLY | os.O_CLOEXEC)
    text = b""
    try:
        while chunk := os.read(fd, 1 << 16):
            text += chunk
    finally:
        os.close(fd)
    found: dict[str, None] = {}
    for line in text.splitlines():
        at = line.find(b"/")
        if at >= 0 and not line.endswith(b" (deleted)"):
            found[os.fsdecode(line[at:])] = None
    return [path for path in found if not path.startswith(("/dev/", "/memfd:", "/SYSV"))]


def places(files: list[str]) -> list[str]:
    """The directories to cover, none below another: ``/usr`` whole, else the file's own."""
    wanted = {"/usr"}
    for path in files:
        real = os.path.realpath(path)
        wanted.add("/usr" if real.startswith("/usr/") else os.path.dirname(real))
    return [
        place
        for place in sorted(wanted)
        if not any([place.startswith(other + "/") for other in wanted])
    ]
