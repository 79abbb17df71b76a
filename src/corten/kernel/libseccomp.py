"""libseccomp: rules in, a BPF program out. No policy: names and numbers pass as they are."""

from __future__ import annotations

import posix
from _ctypes import FUNCFLAG_CDECL, CFuncPtr, _SimpleCData, dlopen, dlsym
from _struct import pack, unpack

from corten.errors import Unavailable
from corten.kernel import paths
from corten.kernel._call import c_void_p, cstr, read_memory

_LIBRARY = "libseccomp.so.2"
_RTLD_NOW = 2

ATTRIBUTE_LOG = 6  # SCMP_FLTATR_CTL_LOG
ATTRIBUTE_OPTIMIZE = 8  # SCMP_FLTATR_CTL_OPTIMIZE: 2 is a binary tree, since 2.5
UNKNOWN = -1  # __NR_SCMP_ERROR

ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}


class _c_int(_SimpleCData):  # type: ignore[type-arg]  # generic for the checker alone
    _type_ = "i"


class _Number(CFuncPtr):
    """Every argument fits a word, so all are declared as one."""

    _flags_ = FUNCFLAG_CDECL
    _restype_ = _c_int


class _Pointer(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL
    _restype_ = c_void_p


class _Nothing(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL
    _restype_ = None


class _Library:
    """The functions, each with its number of arguments, looked up once."""

    def __init__(self) -> None:
        try:
            handle = dlopen(_LIBRARY, _RTLD_NOW)
        except OSError:
            raise Unavailable(
                "libseccomp is not installed", path=_LIBRARY, hint="apt install libseccomp2"
            ) from None

        def function(kind: type[CFuncPtr], name: str, arguments: int) -> CFuncPtr:
            found = kind(dlsym(handle, name))
            found.argtypes = (c_void_p,) * arguments
            return found

        self.init = function(_Pointer, "seccomp_init", 1)
        self.release = function(_Nothing, "seccomp_release", 1)
        self.version = function(_Pointer, "seccomp_version", 0)
        self.arch_add = function(_Number, "seccomp_arch_add", 2)
        self.arch_resolve = function(_Number, "seccomp_arch_resolve_name", 1)
        self.arch_native = function(_Number, "seccomp_arch_native", 0)
        self.attr_set = function(_Number, "seccomp_attr_set", 3)
        self.rule_add = function(_Number, "seccomp_rule_add_array", 5)
        self.export_bpf = function(_Number, "seccomp_export_bpf", 2)
        self.resolve = function(_Number, "seccomp_syscall_resolve_name_arch", 2)


_library: _Library | None = None


def _get() -> _Library:
    global _library
    if _library is None:
        _library = _Library()
    return _library


def version() -> str:
    """The library's version, as ``2.5.4``.

    Raises:
        Unavailable: it is not installed (so do all functions here).
    """
    address: int = _get().version()
    return ".".join([str(part) for part in unpack("3I", read_memory(address, 12))])


def library_path() -> str:
    """The file the library was loaded from, ``""`` if that can't be seen."""
    _get()
    fd = posix.open("/proc/self/maps", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        text = b"".join(iter(lambda: posix.read(fd, 65536), b""))
    finally:
        posix.close(fd)
    for line in text.splitlines():
        at = line.find(b"/")
        if at > 0 and b"/libseccomp.so" in line[at:]:
            return paths.fsdecode(line[at:])
    return ""


def architecture(name: str) -> int:
    """The token of an architecture by libseccomp's own lower-case name (``x86_64``); 0: unknown."""
    token: int = _get().arch_resolve(cstr(name))
    return token & 0xFFFFFFFF


def native_architecture() -> int:
    """The token of the running architecture (an AUDIT_ARCH number)."""
    token: int = _get().arch_native()
    return token & 0xFFFFFFFF


def syscall_number(name: str, token: int) -> int:
    """A call's number on an architecture; below -1 a pseudo number; :data:`UNKNOWN` if unknown."""
    number: int = _get().resolve(token, cstr(name))
    return number


class Filter:
    """A filter under construction; close it."""

    def __init__(self, default_action: int) -> None:
        self._library = _get()
        self._context = self._library.init(default_action)
        if not self._context:
            raise OSError(22, f"seccomp_init refused the action {default_action:#x}")

    def __enter__(self) -> Filter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free it; a second call does nothing."""
        if self._context:
            self._library.release(self._context)
            self._context = None

    def set_attribute(self, attribute: int, value: int) -> None:
        """Set a ``SCMP_FLTATR_*``."""
        _check(self._library.attr_set(self._context, attribute, value), f"attribute {attribute}")

    def add_architecture(self, token: int) -> None:
        """Filter calls of one more architecture; EEXIST if it is there (the native one is)."""
        _check(self._library.arch_add(self._context, token), f"architecture {token:#x}")

    def add_rule(
        self, action: int, number: int, conditions: list[tuple[int, int, int, int]]
    ) -> None:
        """Add a rule, on every architecture that has the call.

        Arguments:
            action: ``SECCOMP_RET_*`` with its data.
            number: the call on the native architecture, pseudo numbers included.
            conditions: ``(argument, operator, value, second value)``, all of which must hold.
        """
        packed = b"".join([pack("IIQQ", *condition) for condition in conditions])
        code = self._library.rule_add(
            self._context, action, number, len(conditions), packed or None
        )
        _check(code, f"rule for call {number}")

    def program(self) -> bytes:
        """The BPF program, ``struct sock_filter`` items."""
        fd = posix.memfd_create("bpf", posix.MFD_CLOEXEC)
        try:
            _check(self._library.export_bpf(self._context, fd), "export")
            return posix.pread(fd, posix.fstat(fd).st_size, 0)
        finally:
            posix.close(fd)


def _check(code: int, what: str) -> None:
    if code < 0:
        raise OSError(-code, f"libseccomp, {what}: {posix.strerror(-code)}")
