"""seccomp(2): loading a BPF program that somebody else compiled."""

from __future__ import annotations

from _struct import pack

from corten.kernel._call import buffer, call, pointer

_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_GET_ACTION_AVAIL = 2

FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0x01,
    "SECCOMP_FILTER_FLAG_LOG": 0x02,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 0x04,
    "SECCOMP_FILTER_FLAG_NEW_LISTENER": 0x08,
    "SECCOMP_FILTER_FLAG_TSYNC_ESRCH": 0x10,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 0x20,
}
FLAG_LOG = 0x02
FLAG_SPEC_ALLOW = 0x04
FLAG_NEW_LISTENER = 0x08
FLAG_WAIT_KILLABLE_RECV = 0x20


def load_filter(program: bytes, flags: int = 0) -> int:
    """Install a filter for the calling thread.

    The caller has ``no_new_privs`` or CAP_SYS_ADMIN in its user namespace.

    Arguments:
        program: ``struct sock_filter`` items of 8 bytes each, at most 4096.
        flags: ``SECCOMP_FILTER_FLAG_*``.
    Returns:
        With ``FLAG_NEW_LISTENER`` the descriptor of the notifications, else 0.
    """
    code = buffer(len(program), program)
    fprog = pack("HxxxxxxQ", len(program) // 8, pointer(code))
    return call("seccomp", None, _SECCOMP_SET_MODE_FILTER, flags, fprog)


def action_available(action: int) -> bool:
    """Whether the kernel knows a return action (``SECCOMP_RET_*``)."""
    try:
        call("seccomp", None, _SECCOMP_GET_ACTION_AVAIL, 0, pack("I", action))
    except OSError:
        return False
    return True
