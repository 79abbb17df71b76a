"""What the kernel says about processes: blocking reads of ``/proc``, to be called in a pool.

A process that ends meanwhile is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from corten.engine.explaining.types import Group, MountPoint, Namespace, Process

_PAGE = os.sysconf("SC_PAGE_SIZE")
_ROOT = "/sys/fs/cgroup"
_KERNEL = (
    *("proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2", "tmpfs", "devtmpfs", "debugfs"),
    *("securityfs", "tracefs", "bpf", "nsfs"),
)
_KINDS = ("net", "pid", "mnt", "ipc", "uts", "user", "cgroup", "time")


def processes(roles: Mapping[int, str]) -> list[Process]:
    """Those that are there, by process id.

    Arguments:
        roles: by process id.
    """
    found = [_process(pid, role) for pid, role in sorted(roles.items())]
    return [one for one in found if one is not None]


def _process(pid: int, role: str) -> Process | None:
    proc = Path(f"/proc/{pid}")
    try:
        words = (proc / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
        name = (proc / "comm").read_bytes().strip()
        pages = int((proc / "statm").read_text("ascii").split()[1])
        user = proc.stat().st_uid
    except (OSError, IndexError):
        return None
    command = (words or b"[" + name + b"]").decode("utf-8", "replace")
    return Process(pid=pid, role=role, user=user, memory=pages * _PAGE, command=command)


def children(pid: int) -> list[int]:
    """Of a process's first thread."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    except OSError:
        return []
    return [int(word) for word in text.split()]


def mounts(pid: int) -> list[MountPoint]:
    """The mounts of a process's namespace, as it sees them (proc(5), mountinfo)."""
    try:
        rows = Path(f"/proc/{pid}/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
    return [_mount(row) for row in rows if " - " in row]


def _mount(row: str) -> MountPoint:
    words, _, rest = row.partition(" - ")
    root, target, options = words.split()[3:6]
    kind, source = [*rest.split(), "", ""][:2]
    if root != "/" and kind not in _KERNEL:
        source = f"{source}:{_plain(root)}"
    return MountPoint(
        target=_plain(target),
        source=_plain(source),
        type=kind,
        options=options,
        kernel=kind in _KERNEL,
    )


def _plain(text: str) -> str:
    """Without the octal escapes of mountinfo."""
    for code in ("040", "011", "012", "134"):
        text = text.replace(f"\\{code}", chr(int(code, 8)))
    return text.encode("utf-8", "replace").decode()


def namespaces(pid: int, shared: Mapping[str, str]) -> list[Namespace]:
    """A process's namespaces.

    Arguments:
        shared: by kind, with what it is shared where it is neither own nor the machine's.
    """
    found = []
    for kind in _KINDS:
        try:
            number = os.stat(f"/proc/{pid}/ns/{kind}").st_ino
            ours = os.stat(f"/proc/self/ns/{kind}").st_ino
        except OSError:
            continue
        whose = "the machine's" if number == ours else shared.get(kind, "its own")
        found.append(Namespace(kind=kind, number=number, whose=whose))
    return found


def groups(pid: int, of: str) -> list[Group]:
    """The cgroups of a process, as directories."""
    try:
        rows = Path(f"/proc/{pid}/cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    found = []
    for row in rows:
        _, controllers, path = row.split(":", 2)
        for directory in _directories(controllers):
            if path != "/" and os.path.isdir(directory + path):
                found.append(Group(path=directory + path, controllers=controllers, of=of))
                break
    return found


def _directories(controllers: str) -> Iterable[str]:
    """Where a hierarchy may be mounted."""
    if not controllers:
        return (f"{_ROOT}/unified", _ROOT)
    return (f"{_ROOT}/{controllers.removeprefix('name=')}",)


def tree_size(path: str) -> int | None:
    """Bytes that a file or a tree takes on its disk; None: it is not there."""
    try:
        total = _taken(os.lstat(path))
    except OSError:
        return None
    seen: set[tuple[int, int]] = set()
    for directory, names, files in os.walk(path):
        for name in (*names, *files):
            try:
                status = os.lstat(f"{directory}/{name}")
            except OSError:
                continue
            key = (status.st_dev, status.st_ino)
            if status.st_nlink > 1 and key in seen and name not in names:
                continue
            seen.add(key)
            total += _taken(status)
    return total


def _taken(status: os.stat_result) -> int:
    return status.st_blocks * 512


def sizes(paths: Iterable[str]) -> dict[str, int | None]:
    """The length of files; None: not there."""
    found: dict[str, int | None] = {}
    for path in paths:
        try:
            found[path] = os.lstat(path).st_size
        except OSError:
            found[path] = None
    return found
