"""The door to the kernel: ``syscall(2)`` by number. CPython's fork hooks are in ``_fork``.

``_ctypes`` instead of ``ctypes`` saves 2.5 ms of a fresh interpreter. There is one prototype
for all calls: a number and six words, each an integer, ``bytes`` (passed as the address of
its NUL-terminated buffer), an array from :func:`buffer`, or None.
"""

from __future__ import annotations

import posix
from _ctypes import (
    FUNCFLAG_CDECL,
    FUNCFLAG_USE_ERRNO,
    CFuncPtr,
    _SimpleCData,
    addressof,
    dlopen,
    dlsym,
    get_errno,
)
from errno import EINVAL, ENOSYS

from corten.kernel import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Path = str | bytes


class c_void_p(_SimpleCData):  # type: ignore[type-arg]  # generic for the checker alone
    """C's ``void *``."""

    _type_ = "P"


class c_char(_SimpleCData):  # type: ignore[type-arg]  # generic for the checker alone
    """C's ``char``; arrays of it are the buffers the kernel writes to."""

    _type_ = "c"


class _Call(CFuncPtr):
    # no result type is C's int, which holds what our calls return (a descriptor, a size, a
    # serial number); "l" would cost 0.1 ms, for a type of the other byte order
    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _argtypes_ = (c_void_p,) * 7


# None and RTLD_NOW: the interpreter and its libc; the checker knows names only
itself = dlopen(None, 2)  # type: ignore[arg-type]
_raw = _Call(dlsym(itself, "syscall"))

# Name: (x86_64, everything that uses asm-generic: aarch64, riscv64, loongarch64).
_NUMBERS = {
    "accept4": (288, 242),
    "bpf": (321, 280),
    "capget": (125, 90),
    "capset": (126, 91),
    "clone3": (435, 435),
    "close_range": (436, 436),
    "execveat": (322, 281),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "fstatfs": (138, 44),
    "inotify_add_watch": (254, 27),
    "inotify_init1": (294, 26),
    "ioprio_set": (251, 30),
    "keyctl": (250, 219),
    "madvise": (28, 233),
    "mknodat": (259, 33),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "openat2": (437, 437),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "recvmsg": (47, 212),
    "rt_sigaction": (13, 134),
    "sched_setattr": (314, 274),
    "seccomp": (317, 277),
    "set_mempolicy": (238, 237),
    "setdomainname": (171, 162),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "setgroups": (116, 159),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "setresgid": (119, 149),
    "setresuid": (117, 147),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "statfs": (137, 43),
    "syncfs": (306, 267),
    "umount2": (166, 39),
    "unshare": (272, 97),
}
MACHINE = posix.uname().machine
_column = 0 if MACHINE == "x86_64" else 1
NR = {name: numbers[_column] for name, numbers in _NUMBERS.items()}


def failure(name: str, path: object = None, code: int = 0) -> OSError:
    """The error of the call just made (or of errno ``code``), with the call's name and path."""
    code = code or get_errno()
    text = f"{name}: {posix.strerror(code)}"
    if path is None or path == "" or path == b"":
        return OSError(code, text)
    return OSError(code, text, path)


def call(
    name: str, path: object, a: Any = 0, b: Any = 0, c: Any = 0, d: Any = 0, e: Any = 0, f: Any = 0
) -> int:
    """Make the system call ``name``; ``path`` is only for the error. Returns its result."""
    result: int = _raw(NR[name], a, b, c, d, e, f)
    if result == -1:
        raise failure(name, path)
    return result


def cstr(path: Path) -> bytes:
    """``path`` as a C string.

    Raises:
        OSError: EINVAL, it holds a NUL byte: the kernel would silently take a shorter path.
    """
    raw = paths.fsencode(path)
    if b"\0" in raw:
        raise OSError(EINVAL, "embedded null byte", path)
    return raw


def buffer(size: int, content: bytes = b"") -> Any:
    """A zeroed array of ``size`` bytes the kernel may write to; ``.raw`` reads it."""
    array: Any = (c_char * size)()
    if content:
        array[: len(content)] = content
    return array


def pointer(array: Any) -> int:
    """The address of an array from :func:`buffer`; the caller keeps the array alive."""
    address: int = addressof(array)
    return address


def read_memory(address: int, size: int) -> bytes:
    """``size`` bytes at an address that a C library gave us."""
    array: Any = (c_char * size).from_address(address)
    raw: bytes = array.raw
    return raw


def strings(values: list[bytes]) -> Any:
    """A NULL-terminated ``char *[]``; it keeps ``values`` alive as its attribute ``owner``."""
    array: Any = (_c_char_p * (len(values) + 1))(*values)
    array.owner = values
    return array


class _c_char_p(_SimpleCData):  # type: ignore[type-arg]  # generic for the checker alone
    _type_ = "z"


def unsupported(error: OSError) -> bool:
    """Whether the kernel (or a seccomp filter around us) lacks the call altogether."""
    return error.errno == ENOSYS
