"""Which capabilities a container gets: Docker's default set, additions and drops."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from corten.engine.types import Security
from corten.errors import InvalidArgument

# In the kernel's order (include/uapi/linux/capability.h): the bit number is the index.
_ALL = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
    SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME
    SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG
    WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
_DEFAULT = """
    CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP
    NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE
"""
ALL = tuple([f"CAP_{name}" for name in _ALL.split()])
DEFAULT = tuple([f"CAP_{name}" for name in _DEFAULT.split()])


def from_mask(mask: int) -> tuple[str, ...]:
    """The names of the bits of a ``CapEff`` line of ``/proc/PID/status``."""
    return tuple(name for bit, name in enumerate(ALL) if mask >> bit & 1)


def granted(security: Security, available: Collection[str]) -> tuple[str, ...]:
    """The capabilities of a container, in the kernel's order.

    Arguments:
        available: what the daemon has itself and can therefore give.

    Raises:
        InvalidArgument: an unknown name; one asked for by name that can't be given.
    """
    if security.privileged:
        return tuple(name for name in ALL if name in available)
    added, dropped = _normal(security.cap_add), _normal(security.cap_drop)
    wanted = set(ALL) if "ALL" in added else set() if "ALL" in dropped else set(DEFAULT)
    named = set(added) - {"ALL"}
    missing = [name for name in ALL if name in named and name not in available]
    if missing:
        raise InvalidArgument(
            f"the daemon has not got the capability {missing[0]} itself, so it can't give it"
        )
    wanted |= named
    if "ALL" not in dropped or "ALL" in added:
        wanted -= set(dropped)
    return tuple(name for name in ALL if name in wanted and name in available)


def _normal(names: Iterable[str]) -> list[str]:
    found = []
    for name in names:
        upper = name.upper()
        if upper != "ALL" and not upper.startswith("CAP_"):
            upper = "CAP_" + upper
        if upper != "ALL" and upper not in ALL:
            raise InvalidArgument(f'invalid capability: "{upper}"')
        found.append(upper)
    return found
