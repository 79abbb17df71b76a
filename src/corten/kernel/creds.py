"""Credentials: capabilities, ids, groups, the session keyring, and prctl's switches."""

from __future__ import annotations

from _struct import pack, unpack

from corten.kernel._call import buffer, call, cstr, pointer

# <linux/capability.h>, in the order of their numbers.
CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
CAPABILITY_NUMBERS = {name: number for number, name in enumerate(CAPABILITIES)}

_CAPABILITY_VERSION_3 = 0x20080522

_PR_SET_PDEATHSIG = 1
_PR_GET_DUMPABLE = 3
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_SET_NAME = 15
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
_PR_SET_MM = 35
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_PR_CAP_AMBIENT_CLEAR_ALL = 4

_KEYCTL_JOIN_SESSION_KEYRING = 1
_KEYCTL_SETPERM = 5
_KEYCTL_DESCRIBE = 6


def capget(pid: int = 0) -> tuple[int, int, int]:
    """``(effective, permitted, inheritable)`` of a process (0: the caller) as bit masks."""
    out = buffer(24)
    call("capget", None, pack("Ii", _CAPABILITY_VERSION_3, pid), out)
    e0, p0, i0, e1, p1, i1 = unpack("6I", out.raw)
    return e0 | e1 << 32, p0 | p1 << 32, i0 | i1 << 32


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the caller's capabilities, as bit masks."""
    halves = []
    for shift in (0, 32):
        for mask in (effective, permitted, inheritable):
            halves.append(mask >> shift & 0xFFFFFFFF)
    call("capset", None, pack("Ii", _CAPABILITY_VERSION_3, 0), pack("6I", *halves))


def bounding_has(capability: int) -> bool:
    """Whether a capability is in the bounding set; EINVAL if the kernel does not know it."""
    return call("prctl", None, _PR_CAPBSET_READ, capability) == 1


def bounding_drop(capability: int) -> None:
    """Take a capability out of the bounding set, for good."""
    call("prctl", None, _PR_CAPBSET_DROP, capability)


def ambient_raise(capability: int) -> None:
    """Add to the ambient set what is permitted and inheritable."""
    call("prctl", None, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def ambient_clear() -> None:
    """Empty the ambient set."""
    call("prctl", None, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def set_keepcaps(on: bool) -> None:
    """Whether permitted capabilities survive the change to a user id other than 0."""
    call("prctl", None, _PR_SET_KEEPCAPS, int(on), 0, 0, 0)


def set_securebits(bits: int) -> None:
    """Set the secure bits (<linux/securebits.h>)."""
    call("prctl", None, _PR_SET_SECUREBITS, bits, 0, 0, 0)


def set_no_new_privs() -> None:
    """Forbid that an exec gives privileges, for good."""
    call("prctl", None, _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def set_dumpable(on: bool) -> None:
    """Whether others may look into this process (ptrace, ``/proc/PID/mem``, ``/proc/PID/exe``)."""
    call("prctl", None, _PR_SET_DUMPABLE, int(on), 0, 0, 0)


def get_dumpable() -> int:
    """0, 1, or 2 (readable by root only)."""
    return call("prctl", None, _PR_GET_DUMPABLE, 0, 0, 0, 0)


def set_child_subreaper(on: bool) -> None:
    """Whether orphans below this process become its children."""
    call("prctl", None, _PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


def set_pdeathsig(signal: int) -> None:
    """The signal the caller gets when its parent thread ends; 0 for none."""
    call("prctl", None, _PR_SET_PDEATHSIG, signal, 0, 0, 0)


def set_name(name: str) -> None:
    """The command name of the calling thread (``comm``), cut to 15 bytes."""
    call("prctl", None, _PR_SET_NAME, cstr(name)[:15], 0, 0, 0)


def set_mm(option: int, address: int) -> None:
    """Move one of the markers in ``mm_struct`` (prctl(2), PR_SET_MM)."""
    call("prctl", None, _PR_SET_MM, option, address, 0, 0)


def setgroups(groups: list[int]) -> None:
    """Set the caller's supplementary groups by the raw call (this thread only)."""
    call("setgroups", None, len(groups), pack(f"{len(groups)}I", *groups) if groups else None)


def setresgid(gid: int) -> None:
    """Set real, effective and saved group id by the raw call (this thread only)."""
    call("setresgid", None, gid, gid, gid)


def setresuid(uid: int) -> None:
    """Set real, effective and saved user id by the raw call (this thread only)."""
    call("setresuid", None, uid, uid, uid)


def join_session_keyring(name: str | None = None) -> int:
    """Join or make a session keyring; returns its serial number.

    Raises:
        OSError: ENOSYS without keyrings in the kernel, EDQUOT where the user has too many.
    """
    return call("keyctl", name, _KEYCTL_JOIN_SESSION_KEYRING, None if name is None else cstr(name))


def keyring_describe(serial: int) -> str:
    """``type;uid;gid;permissions;description`` of a key."""
    out = buffer(512)
    call("keyctl", str(serial), _KEYCTL_DESCRIBE, serial, pointer(out), len(out))
    text: bytes = out.value
    return text.decode("ascii", "replace")


def keyring_set_permissions(serial: int, mask: int) -> None:
    """Set the permission bits of a key."""
    call("keyctl", str(serial), _KEYCTL_SETPERM, serial, mask)
