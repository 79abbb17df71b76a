"""A worker becomes its caller: same ids, groups, limits and surroundings, nothing more.

The kernel says who the caller is (``SO_PEERCRED``, ``SO_PEERGROUPS``); what /proc says of
its process decides whether a worker of this process may stand for it at all: where the
caller lacks something that this process has, or lives in other namespaces, the worker
refuses and the command line runs in the caller's own process.
"""

from __future__ import annotations

import os
import resource
import socket
import struct
from typing import NamedTuple

SO_PEERGROUPS = 59  # asm-generic/socket.h; the socket module does not name it
_UCRED = struct.Struct("3i")
_MAX_GROUPS = 1024  # bytes; what Python's getsockopt takes at most
_NAMESPACES = ("mnt", "user", "pid")
_LIMITS = {  # as /proc/PID/limits calls them, proc(5)
    "Max cpu time": resource.RLIMIT_CPU,
    "Max file size": resource.RLIMIT_FSIZE,
    "Max data size": resource.RLIMIT_DATA,
    "Max stack size": resource.RLIMIT_STACK,
    "Max core file size": resource.RLIMIT_CORE,
    "Max processes": resource.RLIMIT_NPROC,
    "Max open files": resource.RLIMIT_NOFILE,
    "Max locked memory": resource.RLIMIT_MEMLOCK,
    "Max address space": resource.RLIMIT_AS,
    "Max pending signals": resource.RLIMIT_SIGPENDING,
    "Max msgqueue size": resource.RLIMIT_MSGQUEUE,
    "Max nice priority": resource.RLIMIT_NICE,
    "Max realtime priority": resource.RLIMIT_RTPRIO,
    "Max realtime timeout": resource.RLIMIT_RTTIME,
}
_LIMIT_COLUMN = 26  # where the soft limit begins


class Caller(NamedTuple):
    """The process at the other end, as the kernel recorded it when it connected."""

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...]


def caller_of(sock: socket.socket) -> Caller:
    """Ids and supplementary groups of the peer. Raises OSError: more than 256 groups."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(raw)
    groups = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, _MAX_GROUPS)
    return Caller(pid, uid, gid, struct.unpack(f"{len(groups) // 4}I", groups))


def objection(caller: Caller) -> str:
    """Why this process can't stand for the caller; empty: it can.

    Compares mount, user and pid namespace, root directory, and, for root, the effective
    capabilities; for everybody, no_new_privs and seccomp.
    """
    proc = f"/proc/{caller.pid}"
    try:
        own = ours()
        for name, link in own.namespaces.items():
            if os.readlink(f"{proc}/ns/{name}") != link:
                return f"another {name} namespace"
        if not os.path.samestat(os.stat(f"{proc}/root"), own.root):
            return "another root directory"
        return _restrictions(status(proc), own.status, caller)
    except OSError as error:  # pid 0: not in our pid namespace; or no right to look
        return f"its process can't be examined: {error}"


class Own(NamedTuple):
    """What this process is compared by; it does not change."""

    namespaces: dict[str, str]
    root: os.stat_result
    status: dict[str, str]
    limits: str


def ours() -> Own:
    """Read when it is asked for first, which a worker does before its client comes."""
    if not _own:
        links = {name: os.readlink(f"/proc/self/ns/{name}") for name in _NAMESPACES}
        _own.append(Own(links, os.stat("/"), status("/proc/self"), _read("/proc/self/limits")))
    return _own[0]


_own: list[Own] = []


def status(proc: str) -> dict[str, str]:
    """``/proc/PID/status`` by field."""
    lines = _read(f"{proc}/status").splitlines()
    return {key: value.strip() for key, _, value in [line.partition(":") for line in lines]}


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = b""
        while piece := os.read(fd, 1 << 14):
            text += piece
        return text.decode(errors="replace")
    finally:
        os.close(fd)


def _restrictions(theirs: dict[str, str], ours: dict[str, str], caller: Caller) -> str:
    if theirs.get("Uid", "").split()[1:2] != [str(caller.uid)]:
        return "its process has changed its user"
    for field in ("NoNewPrivs", "Seccomp", "Seccomp_filters"):
        if theirs.get(field) != ours.get(field):
            return f"{field} differs"
    if caller.uid == 0:
        wanted, got = int(ours["CapEff"], 16), int(theirs["CapEff"], 16)
        if wanted & ~got:
            return "it has fewer capabilities"
    return ""


def limits_of(pid: int) -> dict[int, tuple[int, int]]:
    """Resource limits of another process, soft and hard; none where all are our own. From
    /proc, because prlimit(2) of another user's process takes CAP_SYS_RESOURCE, which not every
    root has."""
    text = _read(f"/proc/{pid}/limits")
    return {} if text == ours().limits else parse_limits(text)


def parse_limits(text: str) -> dict[int, tuple[int, int]]:
    """``/proc/PID/limits`` by ``RLIMIT_`` number."""
    found = {}
    for line in text.splitlines():
        number = _LIMITS.get(line[:_LIMIT_COLUMN].strip())
        if number is not None:
            soft, hard = line[_LIMIT_COLUMN:].split()[:2]
            found[number] = (_limit(soft), _limit(hard))
    return found


def _limit(word: str) -> int:
    return resource.RLIM_INFINITY if word == "unlimited" else int(word)


def become(caller: Caller, limits: dict[int, tuple[int, int]]) -> None:
    """Take over ids, groups and limits for good.

    Raises:
        OSError: not possible; the process must not go on.
    """
    if os.geteuid() == 0:
        os.setgroups(caller.groups)
        os.setresgid(caller.gid, caller.gid, caller.gid)
        os.setresuid(caller.uid, caller.uid, caller.uid)
    elif (os.geteuid(), os.getegid()) != (caller.uid, caller.gid):
        raise PermissionError("a worker without privileges serves its own user only")
    for number, (soft, hard) in limits.items():
        _, ceiling = resource.getrlimit(number)
        hard = _least(hard, ceiling)
        resource.setrlimit(number, (_least(soft, hard), hard))


def _least(one: int, other: int) -> int:
    if one == resource.RLIM_INFINITY:
        return other
    if other == resource.RLIM_INFINITY:
        return one
    return min(one, other)
