"""Namespaces: making, entering, asking; host names."""

from __future__ import annotations

import posix

from corten.kernel._call import call

CLONE_NEWTIME = 0x00000080  # unshare only; the next child is in it
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# The runtime specification's type: (flag, file in /proc/PID/ns)
KINDS = {
    "user": (CLONE_NEWUSER, "user"),
    "mount": (CLONE_NEWNS, "mnt"),
    "pid": (CLONE_NEWPID, "pid"),
    "network": (CLONE_NEWNET, "net"),
    "ipc": (CLONE_NEWIPC, "ipc"),
    "uts": (CLONE_NEWUTS, "uts"),
    "cgroup": (CLONE_NEWCGROUP, "cgroup"),
    "time": (CLONE_NEWTIME, "time"),
}

_NS_GET_USERNS = 0xB701
_NS_GET_PARENT = 0xB702
_NS_GET_NSTYPE = 0xB703
NSFS_MAGIC = 0x6E736673


def unshare(flags: int) -> None:
    """Move the caller into new namespaces (``CLONE_NEW*``)."""
    call("unshare", None, flags)


def setns(fd: int, flags: int = 0) -> None:
    """Enter the namespace of ``fd``, or, for a pidfd, those of its process named by ``flags``.

    Arguments:
        flags: for a namespace descriptor the type it must have, or 0 for any.
    """
    call("setns", None, fd, flags)


def open_namespace(kind: str, pid: int | str = "self") -> int:
    """A close-on-exec descriptor of a process's namespace; ``kind`` as in :data:`KINDS`."""
    return posix.open(f"/proc/{pid}/ns/{KINDS[kind][1]}", posix.O_RDONLY | posix.O_CLOEXEC)


def namespace_type(fd: int) -> int:
    """The ``CLONE_NEW*`` flag of a namespace descriptor; ENOTTY if it is none."""
    return _ask(fd, _NS_GET_NSTYPE)


def owning_user_namespace(fd: int) -> int:
    """A descriptor of the user namespace that owns a namespace."""
    return _ask(fd, _NS_GET_USERNS)


def parent_namespace(fd: int) -> int:
    """A descriptor of the parent of a PID or user namespace; EPERM at the visible top."""
    return _ask(fd, _NS_GET_PARENT)


def _ask(fd: int, request: int) -> int:
    import fcntl  # few ask, and a fresh interpreter pays for each module

    return fcntl.ioctl(fd, request)


def same(a: int, b: int) -> bool:
    """Whether two descriptors stand for the same namespace (or file)."""
    one, other = posix.fstat(a), posix.fstat(b)
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def sethostname(name: str) -> None:
    """Set the host name of the current UTS namespace (at most 64 bytes)."""
    raw = name.encode()
    call("sethostname", name, raw, len(raw))


def setdomainname(name: str) -> None:
    """Set the NIS domain name of the current UTS namespace (at most 64 bytes)."""
    raw = name.encode()
    call("setdomainname", name, raw, len(raw))
